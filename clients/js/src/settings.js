// What the page said when it started the snippet, and whether it may count.

// States of consent.
export const GIVEN = 1;
export const WAITING = 2; // events stay in memory; storage is neither read nor written
export const REFUSED = 3;

export let endpoint;
export let source;
export let consent = WAITING;

export function configure(options) {
  endpoint = options.url.replace(/\/$/, "") + "/events" + (options.key ? "?key=" + encodeURIComponent(options.key) : "");
  source = options.source || location.hostname;
  consent = options.consent === "wait" ? WAITING : GIVEN;
}

export function setConsent(state) {
  consent = state;
}
