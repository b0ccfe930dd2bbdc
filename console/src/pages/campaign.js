// One campaign over time: impressions, clicks and their rate, by group if wanted, beside the range before.
import { html } from "../lib/html.js";
import { get, send } from "../lib/api.js";
import { useAct, useAsk } from "../lib/ask.js";
import { saveFile } from "../lib/files.js";
import { LENGTH_NAMES, ZONES, asQuery, bucketName, fromLocalText, localText, rangeBefore, readRange } from "../lib/ranges.js";
import { go } from "../lib/route.js";
import { MEASURES, drawn, totals } from "../lib/series.js";
import { change, count, share } from "../lib/words.js";
import { Chart } from "../parts/chart.js";
import { Check, Choice, Field } from "../parts/fields.js";
import { Answer, Empty, Problem, Tile } from "../parts/states.js";

const GROUPS = [["", "Nothing"], ["creative_id", "Creative"], ["source", "Source"], ["type", "Type"]];
const STEPS = [["", "As fits"], ["minute", "Minutes"], ["hour", "Hours"], ["day", "Days"]];

function question(campaign, range, { zone, groupBy }) {
  return { campaign_id: campaign, ...asQuery(range), granularity: range.step, tz: zone, group_by: groupBy, fill: "zero" };
}

async function ask(campaign, range, chosen, signal) {
  const now = get("/stats", question(campaign, range, chosen), signal);
  const before = chosen.compare ? get("/stats", question(campaign, rangeBefore(range), { zone: chosen.zone }), signal) : null;
  const [answer, answerBefore] = await Promise.all([now, before]);
  return { series: answer.series, before: answerBefore?.series };
}

function Range({ range, change: set }) {
  const own = range?.last === "" || !range;
  const at = (seconds) => (seconds ? localText(seconds) : "");
  return html`<${Choice} label="Time" value=${own ? "" : range.last} options=${LENGTH_NAMES}
      onChange=${(last) => set(last ? { last, from: "", to: "" } : { last: "", ...(range ? asQuery(range) : {}) })} />
    ${own && html`
      <${Field} label="From"><input type="datetime-local" value=${at(range?.from)} onChange=${(event) => set({ last: "", from: fromLocalText(event.target.value) })} /></${Field}>
      <${Field} label="To"><input type="datetime-local" value=${at(range?.to)} onChange=${(event) => set({ last: "", to: fromLocalText(event.target.value) })} /></${Field}>`}`;
}

function Totals({ series, before }) {
  const now = totals(series);
  const then = before && totals(before);
  const note = (name) => then && (change(now[name], then[name]) || "none in the range before");
  const rateOf = (sums) => (sums.impressions ? sums.clicks / sums.impressions : 0);
  return html`<dl class="tiles">
    <${Tile} name="Impressions" value=${count(now.impressions)} note=${note("impressions")} />
    <${Tile} name="Clicks" value=${count(now.clicks)} note=${note("clicks")} />
    <${Tile} name="Click-through rate" value=${share(rateOf(now))} note=${then && `${share(rateOf(then))} in the range before`} />
    <${Tile} name="All events" value=${count(now.events)} note=${note("events")} />
  </dl>`;
}

function Charts({ answer, chosen, range }) {
  const { times, lines, left } = drawn({ ...answer, groupBy: chosen.groupBy });
  if (totals(answer.series).events === 0) {
    return html`<${Totals} ...${answer} /><${Empty}>This campaign had no event in this time. Choose a longer time, or check the id.</${Empty}>`;
  }
  return html`<${Totals} ...${answer} />
    ${left > 0 && html`<p class="quiet">The groups with most events are drawn; ${count(left)} more are in the CSV.</p>`}
    <div class="charts">${MEASURES.map((measure) => html`<section key=${measure.id} class="card">
      <${Chart} title=${measure.name} times=${times} lines=${lines(measure)} show=${measure.id === "rate" ? share : count}
        moments=${bucketName(chosen.zone, range.step)} zone=${chosen.zone} whole=${measure.id !== "rate"} height=${measure.id === "impressions" ? 240 : 200} />
    </section>`)}</div>`;
}

function Csv({ campaign, range, chosen }) {
  const [result, save] = useAct(async () => {
    const answer = await send("GET", "/stats", { query: question(campaign, range, chosen), accept: "text/csv" });
    saveFile(`${campaign}.csv`, await answer.text());
    return true;
  });
  return html`<button type="button" onClick=${save} disabled=${result.state === "loading"}>Save as CSV</button>
    ${result.state === "failed" && html`<${Problem} error=${result.error} />`}`;
}

export function Campaign({ id, query }) {
  const range = readRange(query);
  const chosen = {
    zone: ZONES.includes(query.tz) ? query.tz : ZONES[0],
    groupBy: GROUPS.some(([value]) => value && value === query.by) ? query.by : "",
    compare: query.compare === "1" && !query.by,
  };
  const set = (changed) => go(["campaigns", id], { ...query, ...changed });
  const key = JSON.stringify([id, query]);
  const answer = useAsk(range && ((signal) => ask(id, range, chosen, signal)), [key]);
  return html`<h1 tabindex="-1">Campaign ${id}</h1>
    <div class="form" role="group" aria-label="What to show">
      <${Range} range=${range} change=${set} />
      <${Choice} label="Step" value=${query.step ?? ""} options=${STEPS} onChange=${(step) => set({ step })} />
      <${Choice} label="Time zone" value=${chosen.zone} options=${ZONES} onChange=${(tz) => set({ tz })} />
      <${Choice} label="Group by" value=${chosen.groupBy} options=${GROUPS} onChange=${(by) => set({ by, compare: "" })} />
      <${Check} label="Compare with the range before" checked=${chosen.compare} disabled=${Boolean(chosen.groupBy)} onChange=${(on) => set({ compare: on ? "1" : "" })} />
      ${range && html`<span class="actions"><button type="button" onClick=${answer.again}>Refresh</button><${Csv} campaign=${id} range=${range} chosen=${chosen} /></span>`}
    </div>
    ${range
      ? html`<${Answer} of=${answer} what="Counting">${(value) => html`<${Charts} answer=${value} chosen=${chosen} range=${range} />`}</${Answer}>`
      : html`<${Empty}>Say from when to when: the first time has to be before the second.</${Empty}>`}`;
}
