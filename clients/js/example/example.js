// The page of the example: starts the snippet, says what its buttons do, and shows what the campaign counts.
"use strict";

const CAMPAIGN = "camp_example";
const EVERY_MS = 1000;
const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;

const element = (id) => document.getElementById(id);
const onClick = (id, act) => element(id).addEventListener("click", act);

function stored(store, name) {
  try {
    return window[store].getItem(name);
  } catch {
    return null; // A browser that forbids storage.
  }
}

dmp("start", { source: "example", key: stored("sessionStorage", "example-key") });

onClick("buy", () => dmp("track", "purchase", { campaign_id: CAMPAIGN, metadata: { product: "two weeks by the sea" } }));
onClick("next", () => history.pushState(null, "", location.pathname === "/console/example-more" ? "/console/example" : "/console/example-more"));
onClick("refuse", () => dmp("consent", false));
onClick("agree", () => dmp("consent", true));

element("newsletter").addEventListener("submit", (submission) => {
  submission.preventDefault();
  const fields = new FormData(submission.target);
  if (fields.get("tell")) dmp("identify", { email: fields.get("email") });
  element("said").textContent = "Subscribed; nothing was sent but the names of the fields.";
});

element("key").addEventListener("submit", (submission) => {
  submission.preventDefault();
  sessionStorage.setItem("example-key", new FormData(submission.target).get("key"));
  location.reload();
});

const time = (ms) => `${new Date(ms).toISOString().slice(0, 19)}Z`;

async function count() {
  const now = Date.now();
  const query = new URLSearchParams({ campaign_id: CAMPAIGN, from: time(now - HOUR_MS), to: time(now + MINUTE_MS), granularity: "minute" });
  const key = stored("sessionStorage", "dmp-key");
  const answer = await fetch(`/stats?${query}`, { headers: key ? { authorization: `Bearer ${key}` } : {}, cache: "no-store" });
  if (answer.status === 401 || answer.status === 403) return "The counts need a key with the scope read: enter one in the console, in this tab.";
  if (!answer.ok) return "The system does not say its counts just now.";
  const { series } = await answer.json();
  for (const name of ["impressions", "clicks", "events"]) {
    element(name).textContent = series.reduce((sum, minute) => sum + minute[name], 0).toLocaleString("en");
  }
  return "Of the last hour.";
}

async function show() {
  if (document.visibilityState === "visible") {
    const sentence = await count().catch(() => "The system does not answer.");
    if (element("said").textContent !== sentence) element("said").textContent = sentence;
    const browser = stored("localStorage", "dmp:id");
    if (browser) element("person").href = `/console#/people?value=${encodeURIComponent(browser)}`;
  }
  setTimeout(show, EVERY_MS);
}

show();
