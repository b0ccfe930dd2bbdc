// All campaigns with their totals in a range.
import { html } from "../lib/html.js";
import { getAll } from "../lib/api.js";
import { useAsk } from "../lib/ask.js";
import { LENGTH_NAMES, asQuery, readRange } from "../lib/ranges.js";
import { go, link } from "../lib/route.js";
import { count, moment, share } from "../lib/words.js";
import { Choice, Text, submitted } from "../parts/fields.js";
import { Answer } from "../parts/states.js";
import { Table } from "../parts/table.js";

const columns = (last) => [
  {
    name: "Campaign", wide: true,
    of: (row) => html`<a href=${link(["campaigns", row.campaign_id], { last })}>${row.campaign_id}</a>${row.unfilled_macro && html` <span class="tag fair">unfilled macro</span>`}`,
  },
  { name: "Events", numeric: true, of: (row) => count(row.events) },
  { name: "Impressions", numeric: true, of: (row) => count(row.impressions) },
  { name: "Clicks", numeric: true, of: (row) => count(row.clicks) },
  { name: "Click-through rate", numeric: true, of: (row) => share(row.click_through_rate) },
  { name: "Last activity", of: (row) => moment(row.last_activity) },
];

export function Campaigns({ query }) {
  const last = query.last ?? "24h";
  const found = useAsk((signal) => getAll("/campaigns", asQuery(readRange({ last })), "campaigns", { signal }), [last]);
  return html`<h1 tabindex="-1">Campaigns</h1>
    <div class="form">
      <${Choice} label="Time" value=${last} options=${LENGTH_NAMES.filter(([value]) => value)} onChange=${(value) => go(["campaigns"], { last: value })} />
      <form onSubmit=${(event) => go(["campaigns", submitted(event).campaign], { last })} class="inline">
        <${Text} label="Or open one by its id" name="campaign" required placeholder="camp_123" /><button type="submit">Open</button>
      </form>
    </div>
    <section class="card"><${Answer} of=${found} what="Adding up campaigns">${({ items, more }) => html`
      <${Table} label="Campaigns" columns=${columns(last)} keyOf=${(row) => row.campaign_id}
        rows=${[...items].sort((a, b) => b.events - a.events)} empty="No campaign had an event in this time." />
      ${more && html`<p class="quiet">There are more; these are the first ${count(items.length)} by id.</p>`}`}
    </${Answer}></section>`;
}
