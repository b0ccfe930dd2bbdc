// dmp.js counts what a page does. `dmp(command, ...)` takes commands at any time and never throws; dmp.d.ts describes them.
import { again, forget, go, leave, rename } from "./delivery.js";
import { capture } from "./events.js";
import { attempt, isHidden, listen } from "./guard.js";
import { browserId, forgetBrowser, idInMemory, know } from "./identity.js";
import { watchImpressions } from "./impressions.js";
import { configure, GIVEN, REFUSED, setConsent } from "./settings.js";
import { page, watchClicks, watchForms, watchViews } from "./watch.js";

const MOST_WAITING = 100;
const WATCHES = { views: watchViews, clicks: watchClicks, forms: watchForms, impressions: watchImpressions };

let home; // where the script comes from
let asked; // `start` was called
let waiting = []; // commands until it has happened; null afterwards

function begin(options) {
  // Who asks not to be tracked is not counted, whatever else the page says: its commands wait for ever.
  if ((options.dnt || options.dnt === "") && (navigator.doNotTrack === "1" || navigator.globalPrivacyControl)) return;
  configure({ url: home, ...options });
  const early = waiting;
  waiting = null;
  early.forEach((given) => dmp(...given));
  (options.watch ?? "views clicks forms impressions").split(" ").forEach((name) => attempt(WATCHES[name]));
  listen(window, "pagehide", leave);
  listen(document, "visibilitychange", () => (isHidden() ? leave() : again()));
  listen(window, "online", again);
  go();
}

const COMMANDS = {
  track: (type, fields) => capture(type, {}, undefined, fields),
  page,
  identify: (identifiers) => know(identifiers) && capture("session_start"),
  consent(given) {
    if (!given) {
      setConsent(REFUSED);
      forget();
      return forgetBrowser();
    }
    const made = idInMemory;
    setConsent(GIVEN);
    rename(made, browserId());
    go();
  },
};

function dmp(command, ...given) {
  attempt(() => {
    if (command === "start") {
      if (asked) return;
      asked = true;
      // Nobody has seen a page that the browser only prepares.
      if (document.prerendering) listen(document, "prerenderingchange", () => begin(given[0]));
      else begin(given[0]);
    } else if (!waiting) COMMANDS[command](...given);
    else if (waiting.length < MOST_WAITING) waiting.push([command, ...given]);
  });
}

// Where there is no page, as on a server that renders one, and where the snippet is already, nothing begins.
function install() {
  const early = window.dmp;
  if (early?.version) return early;
  dmp.version = "0.1.0";
  window.dmp = dmp;
  early?.q?.forEach((given) => dmp(...given));
  const { src, dataset } = document.currentScript || {};
  if (src) home = new URL(src).origin;
  if (dataset?.source) dmp("start", dataset);
  return dmp;
}

export default attempt(install) || dmp;
