// Makes events. What one says is fixed at this moment, whatever the page does to its objects afterwards.
import { add } from "./delivery.js";
import { browserId, known, randomId } from "./identity.js";
import { consent, REFUSED, source } from "./settings.js";

const MOST_CHARACTERS = 16_000;
const LONGEST_PLACE = 1000;

// An address without what may name a person: no query, no fragment; of `mailto:` and the like only the scheme.
export function place(address) {
  const { protocol, origin, pathname } = new URL(address, document.baseURI);
  return /^http/.test(protocol) ? (origin + pathname).slice(0, LONGEST_PLACE) : protocol;
}

// The mark of this kind on an element, or on the nearest one around it that has one.
const mark = (element, kind) => element.closest(`[data-dmp-${kind}]`)?.getAttribute("data-dmp-" + kind) || undefined;

// Captures an event. element: where it happened. fields: what the page adds to it, named as in the API.
export function capture(event_type, metadata, element = document.documentElement, fields) {
  if (consent === REFUSED || element.closest("[data-dmp-ignore]")) return;
  const text = JSON.stringify({
    event_id: randomId(),
    event_type,
    timestamp: Date.now() / 1000,
    source,
    campaign_id: mark(element, "campaign"),
    creative_id: mark(element, "creative"),
    ...fields,
    identifiers: { ...known, ...fields?.identifiers, browser_id: browserId() },
    metadata: { page: place(location), name: mark(element, event_type.split("_")[0]), ...metadata, ...fields?.metadata },
  });
  if (text.length < MOST_CHARACTERS) add(text);
  else console.warn("dmp: too long", text);
}
