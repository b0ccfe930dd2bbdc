// What became of one event: stored, handed on, counted where, whose it is.
import { html } from "../lib/html.js";
import { get, pathOf } from "../lib/api.js";
import { useAsk } from "../lib/ask.js";
import { go, link } from "../lib/route.js";
import { kindName, moment } from "../lib/words.js";
import { Text, submitted } from "../parts/fields.js";
import { Answer, Empty } from "../parts/states.js";

function Fate({ answer }) {
  const { event, counted_in: counted } = answer;
  return html`<ol class="fate">
    <li class="good"><b>Stored</b> ${moment(event.received_at)}, in batch ${event.batch_id}</li>
    <li class=${answer.delivered ? "good" : "fair"}><b>${answer.delivered ? "Handed on" : "On its way"}</b> ${answer.delivered ? "to identity and statistics" : "to identity and statistics: durable, and not shown there yet"}</li>
    <li class=${counted ? "good" : ""}><b>${counted ? "Counted" : "Not counted"}</b> ${counted
      ? html`as ${counted.counts_as || counted.type} of <a href=${link(["campaigns", counted.campaign_id], { from: counted.minute, to: later(counted.minute), step: "minute" })}>${counted.campaign_id}</a> in the minute ${moment(counted.minute)}`
      : "in a campaign: it names none"}</li>
    <li class=${answer.internal_user_id ? "good" : ""}><b>${answer.internal_user_id ? "Belongs to" : "Belongs to nobody"}</b> ${answer.internal_user_id
      ? html`<a href=${link(["people", answer.internal_user_id])}>${answer.internal_user_id}</a>` : "whom it names"}</li>
  </ol>`;
}

const later = (minute) => new Date(Date.parse(minute) + 600000).toISOString();

function Fields({ event }) {
  const known = [["Type", event.type], ["Source", event.source], ["Happened", moment(event.occurred_at)], ["Campaign", event.campaign_id], ["Creative", event.creative_id], ["User id", event.user_id],
    ...Object.entries(event.identifiers ?? {}).map(([type, value]) => [kindName(type), value])];
  return html`<dl class="facts">${known.filter(([, value]) => value).map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    <details><summary>As it is stored</summary><pre tabindex="0">${JSON.stringify(event, null, 2)}</pre></details>`;
}

export function Event({ id = "" }) {
  const found = useAsk(id ? (signal) => get(pathOf("events", id), {}, signal) : null, [id]);
  return html`<h1 tabindex="-1">${id ? `Event ${id}` : "Event"}</h1>
    <form class="form" role="search" onSubmit=${(event) => go(["events", submitted(event).id])}>
      <${Text} label="Event id" name="id" required maxlength="255" value=${id} hint="The event_id that was sent, or that the answer named." /><button type="submit" class="main">Look up</button>
    </form>
    ${found.state === "failed" && found.error.status === 404
      ? html`<${Empty}>The log holds no event ${id}. It was never accepted, or another system holds it.</${Empty}>`
      : html`<${Answer} of=${found} what="Looking in the log">${(answer) => html`
          <section class="card" aria-labelledby="fate"><h2 id="fate">What became of it</h2><${Fate} answer=${answer} /></section>
          <section class="card" aria-labelledby="fields"><h2 id="fields">What it says</h2><${Fields} event=${answer.event} /></section>`}</${Answer}>`}`;
}
