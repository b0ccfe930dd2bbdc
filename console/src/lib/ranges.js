// The stretch of time that a page looks at, from its URL, and the one of the same length before it.
import { instant } from "./words.js";

const HOUR = 3600;
export const LENGTHS = { "1h": HOUR, "6h": 6 * HOUR, "24h": 24 * HOUR, "7d": 168 * HOUR, "30d": 720 * HOUR };
export const LENGTH_NAMES = [
  ["1h", "Last hour"], ["6h", "Last 6 hours"], ["24h", "Last 24 hours"], ["7d", "Last 7 days"], ["30d", "Last 30 days"], ["", "From … to …"],
];
const STEP = { minute: 60, hour: HOUR, day: 24 * HOUR };

// The finest step that draws well.
function stepFor(seconds) {
  if (seconds <= 12 * HOUR) return "minute";
  return seconds <= 14 * 24 * HOUR ? "hour" : "day";
}

// {from, to, step} in Unix seconds; null if the URL has no range that can be read.
export function readRange(query, now = Date.now() / 1000) {
  const last = query.last ?? (query.from ? "" : "6h");
  const to = last ? now : Date.parse(query.to) / 1000;
  const from = last ? now - LENGTHS[last] : Date.parse(query.from) / 1000;
  if (!(from < to)) return null;
  const step = query.step in STEP ? query.step : stepFor(to - from);
  const floored = Math.floor(from / STEP[step]) * STEP[step];
  return { from: floored, to: Math.floor(to / STEP[step]) * STEP[step], step, last };
}

// The range of the same number of buckets just before.
export function rangeBefore({ from, to, step }) {
  const length = to - from + STEP[step];
  return { from: from - length, to: to - length, step };
}

export const asQuery = ({ from, to }) => ({ from: instant(from * 1000), to: instant(to * 1000) });

// For <input type="datetime-local">, in the browser's time zone.
export function localText(seconds) {
  const date = new Date(seconds * 1000);
  return new Date(date - date.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}
export const fromLocalText = (text) => (text ? instant(new Date(text)) : "");

const BROWSER_ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
export const ZONES = [...new Set([BROWSER_ZONE, "UTC", ...(Intl.supportedValuesOf?.("timeZone") ?? [])])];

// How buckets of a step are written in a time zone.
export function bucketName(zone, step) {
  const parts = { minute: { hour: "2-digit", minute: "2-digit" }, hour: { hour: "2-digit", minute: "2-digit" }, day: {} }[step];
  const format = new Intl.DateTimeFormat("en-GB", { timeZone: zone, day: "2-digit", month: "short", weekday: "short", ...parts });
  return (seconds) => format.format(new Date(seconds * 1000));
}
