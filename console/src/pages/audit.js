// Is what was counted what was logged? And who decided what about the stored data.
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { get, post } from "../lib/api.js";
import { useAct, useAsk } from "../lib/ask.js";
import { LENGTH_NAMES, asQuery, readRange } from "../lib/ranges.js";
import { go, link } from "../lib/route.js";
import { count, moment, plural } from "../lib/words.js";
import { Decision } from "../parts/decision.js";
import { Choice, Text, submitted } from "../parts/fields.js";
import { Answer, Loading, Problem, Tile } from "../parts/states.js";
import { Table } from "../parts/table.js";

const SUMS = ["events", "cells", "unsettled", "identified_events", "timeline_entries"];

// All pages of an audit added up; `tell` is told how far it is.
async function audit(question, tell) {
  const found = { ...Object.fromEntries(SUMS.map((name) => [name, 0])), clean: true, differences: [], timeline_differences: [] };
  let token = "";
  do {
    const page = await get("/audit", { ...question, page_token: token });
    for (const name of SUMS) found[name] += page[name];
    found.clean = found.clean && page.clean;
    found.differences.push(...page.differences);
    found.timeline_differences.push(...page.timeline_differences);
    token = page.next_page_token;
    tell(found.events);
  } while (token);
  return found;
}

async function repairAll(campaign_id, question) {
  let minutes = 0;
  let token = "";
  do {
    const page = await post("/audit/repair", { campaign_id, from: question.from, to: question.to, page_token: token });
    minutes += page.minutes.length;
    token = page.next_page_token;
  } while (token);
  return { minutes };
}

const repair = (campaign, question) => ({
  title: `Count ${campaign} again?`,
  button: "Count again",
  reason: false,
  does: html`<p>Every minute in which the audit found a difference is counted again from the log and put in place. Nothing that is counted meanwhile is lost. It
    can be done again at any time.</p>`,
  act: () => repairAll(campaign, question),
  done: ({ minutes }) => `${plural(minutes, "minute")} of ${campaign} were counted again. Run the audit once more to see it clean.`,
});

const DIFFERENCES = [
  { name: "Campaign", wide: true, of: (row) => html`<a href=${link(["campaigns", row.campaign_id])}>${row.campaign_id}</a>` },
  { name: "Minute", of: (row) => moment(row.minute) },
  { name: "Type", of: (row) => row.type },
  { name: "In the log", numeric: true, of: (row) => count(row.logged) },
  { name: "Counted", numeric: true, of: (row) => count(row.counted) },
];
const TIMELINES = [
  { name: "Minute", of: (row) => moment(row.minute) },
  { name: "Events that name a person", numeric: true, of: (row) => count(row.logged) },
  { name: "Timeline entries", numeric: true, of: (row) => count(row.entries) },
];

function Outcome({ found, question, decide }) {
  const campaigns = [...new Set(found.differences.map((one) => one.campaign_id))];
  return html`<p class=${`health ${found.clean ? "good" : "bad"}`} role="status"><b>${found.clean ? "Clean." : "There are differences."}</b> ${found.clean
      ? "What was counted is what was logged, event by event." : `${plural(found.differences.length + found.timeline_differences.length, "place")} where they differ.`}</p>
    <dl class="tiles"><${Tile} name="Events in the log" value=${count(found.events)} /><${Tile} name="Counts compared" value=${count(found.cells)} />
      <${Tile} name="Events that name a person" value=${count(found.identified_events)} /><${Tile} name="Timeline entries" value=${count(found.timeline_entries)} />
      <${Tile} name="On their way" value=${count(found.unsettled)} note="left out" /></dl>
    ${found.differences.length > 0 && html`<section class="card"><h3>Counts that differ</h3><${Table} label="Counts that differ" columns=${DIFFERENCES} rows=${found.differences.slice(0, 500)} />
      <p class="actions">${campaigns.slice(0, 20).map((campaign) => html`<button type="button" onClick=${() => decide(repair(campaign, question))}>Count ${campaign} again …</button>`)}</p></section>`}
    ${found.timeline_differences.length > 0 && html`<section class="card"><h3>Timelines that differ</h3><${Table} label="Timelines that differ" columns=${TIMELINES} rows=${found.timeline_differences.slice(0, 500)} /></section>`}`;
}

const ACTIONS = [
  { name: "Time", of: (one) => moment(one.acted_at) },
  { name: "What", of: (one) => one.kind.replaceAll("_", " ") },
  { name: "By", of: (one) => one.actor || html`<span class="quiet">nobody named</span>` },
  { name: "Result", of: (one) => one.result },
  { name: "People", wide: true, of: (one) => one.internal_user_ids.slice(0, 6).map((id) => html`<a href=${link(["people", id])}>${id}</a> `) },
  { name: "Reason", wide: true, of: (one) => one.reason },
];

export function Audit({ query }) {
  const last = query.last ?? "24h";
  const [events, tell] = useState(0);
  const [asked, setAsked] = useState(null);
  const [result, run] = useAct((question) => audit(question, tell));
  const [decision, decide] = useState(null);
  const [said, say] = useState(null);
  const actions = useAsk((signal) => get("/admin/actions", { page_size: 50 }, signal), [result.state]);
  const start = (event) => {
    const question = { ...asQuery(readRange({ last, step: "minute" })), campaign_id: submitted(event).campaign };
    setAsked(question);
    tell(0);
    run(question);
  };
  const done = (value) => {
    say(decision.done(value));
    decide(null);
  };
  return html`<h1 tabindex="-1">Audit</h1>
    ${said && html`<p class="health good" role="status">${said}</p>`}
    <form class="form" onSubmit=${start}>
      <${Choice} label="Time" value=${last} options=${LENGTH_NAMES.filter(([value]) => value)} onChange=${(value) => go(["audit"], { ...query, last: value })} />
      <${Text} label="Only this campaign" name="campaign" value=${query.campaign ?? ""} hint="Empty: all campaigns, and the timelines." />
      <button type="submit" class="main" disabled=${result.state === "loading"}>Run the audit</button>
    </form>
    ${result.state === "loading" && html`<${Loading} what=${`Comparing, ${plural(events, "event")} so far`} />`}
    ${result.state === "failed" && html`<${Problem} error=${result.error} />`}
    ${result.state === "ready" && html`<${Outcome} found=${result.value} question=${asked} decide=${decide} />`}
    <section class="card" aria-labelledby="acts"><h2 id="acts">Who decided what, the last first</h2>
      <${Answer} of=${actions}>${(value) => html`<${Table} label="Acts" columns=${ACTIONS} rows=${value.actions} keyOf=${(one) => one.action_id} empty="Nobody has decided anything about the stored data yet." />`}</${Answer}></section>
    ${decision && html`<${Decision} decision=${decision} onDone=${done} onClose=${() => decide(null)} />`}`;
}
