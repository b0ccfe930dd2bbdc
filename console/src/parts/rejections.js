// What was rejected last: when, in which field, and why. The feed has no word of what was sent, so nothing of it is shown.
import { html } from "../lib/html.js";
import { link } from "../lib/route.js";
import { count, fieldName, formName, moment, rejectionName } from "../lib/words.js";
import { Empty } from "./states.js";
import { Table } from "./table.js";

const COLUMNS = [
  { name: "Last time", of: (row) => moment(row.ts) },
  { name: "Field", of: (row) => fieldName(row.field) },
  { name: "What is wrong", wide: true, of: (row) => rejectionName(row.reason) },
  { name: "Kind of event", of: (row) => formName(row.form) },
  { name: "In that minute", numeric: true, of: (row) => count(row.events) },
];

// rejections: those of the live feed, the last first.
export function Rejections({ rejections }) {
  return html`<section class="card" aria-labelledby="rejected">
    <h2 id="rejected">What was rejected last</h2>
    ${rejections.length === 0
      ? html`<${Empty}>No event was rejected lately.</${Empty}>`
      : html`<${Table} label="Rejected events" columns=${COLUMNS} rows=${rejections} keyOf=${(row) => `${row.form} ${row.field} ${row.reason}`} />
        <p class="quiet">Whoever sent one was told the reason in full. <a href=${link(["send"])}>Check an event</a> without sending it.</p>`}
  </section>`;
}
