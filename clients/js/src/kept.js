// Events that wait in storage, for whichever tab of this site sends them first. One tab at a time: a lock, or a lease where the browser has no locks
// (pages without TLS), is held for one request.
import { attempt } from "./guard.js";
import { keptNames, read, remove, write } from "./storage.js";

const MOST_CHARACTERS = 250_000; // of the five million that a site has
const LOCK = "dmp:lock";
const LEASE_MS = 15_000; // longer than a request may take
const SETTLES_MS = 100; // after that long a lease that another tab took at the same moment shows

// What cannot be read is no event, and would spoil a whole request.
const held = () => keptNames().map((name) => ({ name, text: read(name) })).filter(({ text }) => attempt(() => JSON.parse(text)));

// Keeps events, the newest if there are too many; returns those that cannot be kept.
export function keep(items) {
  const left = items.filter(({ name, text }) => !write(name, text));
  let room = MOST_CHARACTERS;
  keptNames().reverse().forEach((name) => {
    room -= read(name)?.length || 0;
    if (room < 0) remove(name);
  });
  return left;
}

// The result of `act`, which is given the events that wait if this tab alone may send them now, else none.
export async function claimed(act) {
  if (!keptNames()[0]) return act([]);
  const { locks } = navigator;
  if (locks) return locks.request(LOCK, { ifAvailable: true }, (lock) => act(lock ? held() : []));
  if (read(LOCK) > Date.now()) return act([]);
  const lease = `${Date.now() + LEASE_MS + Math.random()}`;
  write(LOCK, lease);
  await new Promise((resolve) => setTimeout(resolve, SETTLES_MS));
  return read(LOCK) === lease ? act(held()).finally(() => remove(LOCK)) : act([]);
}
