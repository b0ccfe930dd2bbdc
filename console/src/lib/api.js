// Asks the public API, with the caller's key if there is one. What goes wrong is thrown as an ApiError, whose message is a sentence.
import { readKey } from "./storage.js";

const NO_ANSWER = "The system does not answer. Is it running, and can this browser reach it?";

export class ApiError extends Error {
  // status: the HTTP status, 0 if nobody answered. fields: what is wrong with each field, {name: sentence}.
  constructor(message, status, fields = {}) {
    super(message);
    this.status = status;
    this.fields = fields;
  }
}

function sentence(text) {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}

function problem(status, text) {
  let error;
  try {
    error = JSON.parse(text).error;
  } catch {
    return new ApiError(`The system answers ${status}, without a reason.`, status);
  }
  if (status === 401) return new ApiError("This system asks for an API key, and it does not know the one that was sent.", status);
  const violations = (error?.details ?? []).flatMap((detail) => detail.fieldViolations ?? []);
  const fields = Object.fromEntries(violations.map((one) => [one.field, sentence(`${one.field} ${one.description}`)]));
  return new ApiError(sentence(error?.message ?? `the system answers ${status}`), status, fields);
}

// A path with its query. Empty and missing values are left out; a list comes once for each of its values.
export function target(path, query = {}) {
  const pairs = Object.entries(query).flatMap(([name, value]) => (Array.isArray(value) ? value : [value]).map((one) => [name, one]));
  const kept = pairs.filter(([, value]) => value !== undefined && value !== null && value !== "");
  return kept.length ? `${path}?${new URLSearchParams(kept)}` : path;
}

function headersFor(contentType, accept) {
  const key = readKey();
  return {
    accept,
    ...(contentType ? { "content-type": contentType } : {}),
    ...(key ? { authorization: `Bearer ${key}` } : {}),
  };
}

// The Response of a request that succeeded. `body` is sent as JSON, `text` as it is.
export async function send(method, path, { query, body, text, contentType, accept = "application/json", signal } = {}) {
  const content = text ?? (body === undefined ? undefined : JSON.stringify(body));
  const headers = headersFor(contentType ?? (content === undefined ? "" : "application/json"), accept);
  let answer;
  try {
    answer = await fetch(target(path, query), { method, headers, body: content, signal, cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(NO_ANSWER, 0);
  }
  if (!answer.ok && answer.status !== 422) throw problem(answer.status, await answer.text());
  return answer;
}

export const get = async (path, query, signal) => (await send("GET", path, { query, signal })).json();
export const post = async (path, body, signal) => (await send("POST", path, { body, signal })).json();

// Everything of a list that comes in pages, up to `most` items.
export async function getAll(path, query, name, { signal, most = 2000 } = {}) {
  const found = [];
  let token = "";
  do {
    const page = await get(path, { ...query, page_token: token }, signal);
    found.push(...page[name]);
    token = page.next_page_token;
  } while (token && found.length < most);
  return { items: found, more: Boolean(token) };
}

export const pathOf = (...parts) => `/${parts.map(encodeURIComponent).join("/")}`;
