// The caller's API key: kept in this tab only, sent with each question.
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { get } from "../lib/api.js";
import { useAct } from "../lib/ask.js";
import { readKey, writeKey } from "../lib/storage.js";
import { Text, submitted } from "../parts/fields.js";

// Which scopes a key opens, by questions that change nothing.
const PROBES = [
  ["read", "counts: Overview, Campaigns", "/reference", {}],
  ["people", "people: People, Review, Event", "/debug/review", { page_size: 1 }],
  ["admin", "decisions: merges, Policy, Audit", "/admin/actions", { page_size: 1 }],
];

async function probe() {
  return Promise.all(PROBES.map(async ([scope, opens, path, query]) => {
    try {
      await get(path, query);
      return { scope, opens, open: true, why: "" };
    } catch (error) {
      return { scope, opens, open: false, why: error.message };
    }
  }));
}

export function Key() {
  const [kept, setKept] = useState(Boolean(readKey()));
  const [result, look, forget] = useAct(probe);
  const keep = (event) => {
    writeKey(submitted(event).key);
    setKept(true);
    look();
  };
  const drop = () => {
    writeKey("");
    setKept(false);
    forget();
  };
  return html`<h1 tabindex="-1">Key</h1>
    <p class="quiet">A system that listens to others asks for an API key. The console keeps it in this tab until the tab is closed, and sends it to this system only.</p>
    <form class="card form" onSubmit=${keep}><${Text} label="API key" name="key" type="password" required autocomplete="off" />
      <button type="submit" class="main">Use it</button>${kept && html`<button type="button" onClick=${drop}>Forget it</button>`}
      <button type="button" onClick=${look}>What may I do?</button></form>
    <p role="status">${kept ? "This tab has a key." : "This tab has no key."}</p>
    ${result.state === "ready" && html`<ul class="card rows">${result.value.map((one) => html`<li><span><b>${one.scope}</b> opens ${one.opens}.</span>
      <span class=${`tag ${one.open ? "good" : "bad"}`}>${one.open ? "open" : "closed"}</span>${one.why && html`<small>${one.why}</small>`}</li>`)}</ul>`}`;
}
