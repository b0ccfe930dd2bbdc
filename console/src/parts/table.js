// A table that scrolls by itself where it is wider than the page. Columns: {name, of: row => content, numeric, wide}.
import { html } from "../lib/html.js";
import { Empty } from "./states.js";

export function Table({ label, columns, rows, empty = "There is nothing here.", keyOf }) {
  if (rows.length === 0) return html`<${Empty}>${empty}</${Empty}>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${label}>
    <table>
      <caption class="unseen">${label}</caption>
      <thead><tr>${columns.map((column) => html`<th scope="col" class=${column.numeric ? "numeric" : ""}>${column.name}</th>`)}</tr></thead>
      <tbody>${rows.map((row, index) => html`<tr key=${keyOf?.(row) ?? index}>
        ${columns.map((column) => html`<td class=${`${column.numeric ? "numeric" : ""} ${column.wide ? "wide" : ""}`}>${column.of(row, index)}</td>`)}
      </tr>`)}</tbody>
    </table>
  </div>`;
}
