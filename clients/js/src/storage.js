// What the browser keeps for the origin of the page. Storage may be forbidden, full or emptied at any time: nothing here throws.
import { attempt } from "./guard.js";

export const read = (name) => attempt(() => localStorage.getItem(name));
export const remove = (name) => attempt(() => localStorage.removeItem(name));

// Whether it was stored.
export const write = (name, text) =>
  attempt(() => {
    localStorage.setItem(name, text);
    return true;
  });

// Events that wait to be sent have names that begin with this and sort by time.
export const KEPT = "dmp:kept:";

// The names of the events that wait, oldest first.
export const keptNames = () => attempt(() => Object.keys(localStorage).filter((name) => name.startsWith(KEPT)).sort()) || [];
