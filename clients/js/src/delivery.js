// Brings events to the DMP. Each has its id from the moment on in which it is captured, so sending it twice counts it once, and none is given up before an
// answer has said what became of it. While the page is looked at they are asked for (fetch, whose answer can be read). When it is left they are thrown
// (beacon, which outlives the page and says nothing) and kept, and the next page of the site asks for them in its first request.
import { attempt, isHidden } from "./guard.js";
import { randomId } from "./identity.js";
import { claimed, keep } from "./kept.js";
import { consent, endpoint, GIVEN } from "./settings.js";
import { KEPT, keptNames, remove } from "./storage.js";

const DELAY = 250; // ms in which events gather into one request
const PATIENCE = 10_000; // ms for an answer
const SHORTEST_PAUSE = 1000; // ms between two attempts; it doubles with each
const LONGEST_PAUSE = 60_000; // unless the DMP asks for a longer one
const MOST_ASKED = 300_000;
const MOST_BYTES = 30_000; // of a request: half of the 64 KiB that a browser lets a page have under way when it is left
const MOST_IN_MEMORY = 500; // events
const FINAL = /^(2..|400|413|422)$/; // statuses after which sending again would change nothing

let mine = []; // events of this page that are nowhere else: {name, text, sent}
let busy;
let timer;
let pause = 0;

const body = (items) => `[${items.map((item) => item.text)}]`;
const waits = () => mine[0] || keptNames()[0];

function later(ms) {
  timer ||= setTimeout(flush, ms);
}

// Takes an event over, as JSON.
export function add(text) {
  mine.push({ name: KEPT + Date.now().toString(36) + randomId(), text });
  mine = mine.slice(-MOST_IN_MEMORY);
  go();
}

// Sends what there is: soon, or at once if the page may be gone then.
export function go() {
  if (consent !== GIVEN) return;
  if (isHidden()) leave();
  else if (waits()) later(DELAY);
}

// Asks for events; whether they are done with. A text without headers of its own: the browser does not ask for permission first, which would take longer
// than a page that is left has.
async function ask(items) {
  let wanted = 0;
  try {
    const answer = await fetch(endpoint, {
      method: "POST",
      body: body(items),
      credentials: "omit",
      // Only then: what may outlive the page has 64 KiB in all, and waits in vain for a place among what is thrown.
      keepalive: isHidden(),
      signal: AbortSignal.timeout?.(PATIENCE),
    });
    // Until it has been read, a browser counts the request among those under way.
    await answer.text();
    if (FINAL.test(answer.status)) {
      items.forEach((item) => remove(item.name));
      mine = mine.filter((item) => !items.includes(item));
      pause = 0;
      return true;
    }
    wanted = Math.min(answer.headers.get("retry-after") * 1000 || 0, MOST_ASKED);
  } catch {
    // Nobody answers.
  }
  pause = Math.max(Math.min(pause * 2 || SHORTEST_PAUSE, LONGEST_PAUSE), wanted);
}

// Asks for what fits into one request, the events that were kept first; whether they are done with and more waits.
async function askForSome(kept) {
  let some = [...kept, ...mine];
  const count = some.length;
  if (!count) return;
  while (some[1] && new Blob([body(some)]).size > MOST_BYTES) some = some.slice(0, some.length >> 1);
  if (await ask(some)) return count > some.length;
  if (consent === GIVEN) mine = keep(mine);
}

async function flush() {
  timer = 0;
  if (busy || consent !== GIVEN) return;
  busy = true;
  try {
    while (await claimed(askForSome));
  } catch {
    // The next attempt is made below.
  }
  busy = false;
  // Without a pause something waits because it came meanwhile, or because another tab is sending it.
  if (waits()) later(Math.max(SHORTEST_PAUSE, pause * (1 + Math.random() / 2)));
}

// Throws events, in halves until the browser takes them; what it does not take at all is asked for, now and once more if the page stays.
function throwOut(items) {
  if (attempt(() => navigator.sendBeacon(endpoint, body(items)))) items.forEach((item) => (item.sent = true));
  else if (items[1]) {
    const middle = items.length >> 1;
    throwOut(items.slice(0, middle));
    throwOut(items.slice(middle));
  } else {
    ask(items);
    later(SHORTEST_PAUSE);
  }
}

// The page may be gone at any moment.
export function leave() {
  if (consent !== GIVEN) return;
  const fresh = mine.filter((item) => !item.sent);
  if (fresh[0]) throwOut(fresh);
  mine = keep(mine);
}

// The page is looked at again, or the network is back.
export function again() {
  clearTimeout(timer);
  timer = pause = 0;
  go();
}

// What is not sent yet carries this id of the browser instead of the one that was made before the stored one could be read.
export function rename(made, stored) {
  mine.forEach((item) => (item.text = item.text.replaceAll(made, stored)));
}

// Forgets what is not sent yet.
export function forget() {
  keptNames().forEach(remove);
  mine = [];
}
