// What is going on: rates, verdicts, the busiest campaigns, what was rejected, and whether the system is well.
import { useEffect } from "preact/hooks";
import { html } from "../lib/html.js";
import { get } from "../lib/api.js";
import { useAsk } from "../lib/ask.js";
import { useLive } from "../lib/live.js";
import { link } from "../lib/route.js";
import { count, plural, rate, share } from "../lib/words.js";
import { Chart } from "../parts/chart.js";
import { Rejections } from "../parts/rejections.js";
import { Empty, Loading, Problem, Tile } from "../parts/states.js";
import { Table } from "../parts/table.js";

const LOOK_AGAIN = 10000; // milliseconds

function useHealth() {
  const health = useAsk((signal) => get("/healthz", {}, signal), []);
  useEffect(() => {
    const timer = setInterval(health.again, LOOK_AGAIN);
    return () => clearInterval(timer);
  }, []);
  return health;
}

function Health({ health }) {
  if (health.state === "failed") return html`<p class="health bad" role="status"><b>Not well.</b> ${health.error.message}</p>`;
  if (!health.value) return html`<${Loading} what="Asking how the system is" />`;
  const missing = health.value.degraded ?? [];
  if (missing.length) return html`<p class="health fair" role="status"><b>It works, with less.</b> Missing: ${missing.join(", ")}.</p>`;
  return html`<p class="health good" role="status"><b>All is well.</b> Events are stored and every part of the system answers.</p>`;
}

function Figures({ sample }) {
  const { verdicts } = sample;
  const all = verdicts.accepted + verdicts.duplicates + verdicts.rejected;
  return html`<dl class="tiles">
    <${Tile} name="Events of users per second" value=${rate(sample.events_per_sec.last_10_seconds)} note=${`${rate(sample.events_per_sec.last_5_minutes)} over five minutes`} />
    <${Tile} name="Users in the last minute" value=${count(sample.users)} />
    <${Tile} name="Accepted in the last minute" value=${count(verdicts.accepted)} tone="good" />
    <${Tile} name="Duplicates" value=${count(verdicts.duplicates)} note="counted once" />
    <${Tile} name="Rejected" value=${count(verdicts.rejected)} note=${all ? share(verdicts.rejected / all) : ""} tone=${verdicts.rejected ? "bad" : ""} />
  </dl>`;
}

const COLUMNS = [
  { name: "Campaign", wide: true, of: (row) => html`<a href=${link(["campaigns", row.campaign_id], { last: "1h" })}>${row.campaign_id}</a>` },
  { name: "Events", numeric: true, of: (row) => count(row.events) },
  { name: "Impressions", numeric: true, of: (row) => count(row.impressions) },
  { name: "Clicks", numeric: true, of: (row) => count(row.clicks) },
  { name: "Click-through rate", numeric: true, of: (row) => share(row.impressions ? row.clicks / row.impressions : 0) },
];

function Feed({ live }) {
  const { sample, history } = live;
  if (!sample) return live.error ? html`<${Problem} error=${live.error} />` : html`<${Loading} what="Waiting for the live feed" />`;
  const times = history.map((one) => Date.parse(one.ts) / 1000);
  const lines = [
    { name: "last 10 seconds", values: history.map((one) => one.events_per_sec.last_10_seconds) },
    { name: "last minute", values: history.map((one) => one.events_per_sec.last_minute), colour: 1 },
  ];
  return html`
    ${live.error && html`<p class="health fair" role="status"><b>The live feed broke off.</b> ${live.error.message} It is tried again.</p>`}
    <${Figures} sample=${sample} />
    <div class="halves">
      <section class="card"><${Chart} title="Events of users per second, since this page was opened" times=${times} lines=${lines} show=${rate} /></section>
      <section class="card" aria-labelledby="top">
        <h2 id="top">Busiest campaigns of the last five minutes</h2>
        ${sample.top_campaigns.length === 0
          ? html`<${Empty}>No campaign had an event in the last five minutes. <a href=${link(["send"])}>Send one</a>, or look at <a href=${link(["campaigns"])}>all campaigns</a>.</${Empty}>`
          : html`<${Table} label="Busiest campaigns" columns=${COLUMNS} rows=${sample.top_campaigns} keyOf=${(row) => row.campaign_id} />
            <p class="quiet">${plural(sample.top_campaigns.length, "campaign")}, by events. <a href=${link(["campaigns"])}>All campaigns</a></p>`}
      </section>
    </div>
    <${Rejections} rejections=${sample.last_rejections ?? []} />`;
}

export function Overview() {
  const health = useHealth();
  const live = useLive();
  return html`<h1 tabindex="-1">Overview</h1><${Health} health=${health} /><${Feed} live=${live} />`;
}
