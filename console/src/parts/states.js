// What a page shows while it asks, when there is nothing, and when something went wrong.
import { html } from "../lib/html.js";
import { link } from "../lib/route.js";

export const Loading = ({ what = "Loading" }) => html`<p class="quiet loading" role="status">${what} …</p>`;

export const Empty = ({ children }) => html`<p class="empty">${children}</p>`;

export function Problem({ error, again }) {
  const fields = Object.values(error.fields ?? {});
  return html`<div class="problem" role="alert">
    <p>${error.message}</p>
    ${fields.length > 1 && html`<ul>${fields.map((text) => html`<li>${text}</li>`)}</ul>`}
    <p class="actions">
      ${(error.status === 401 || error.status === 403) && html`<a class="button" href=${link(["key"])}>Enter a key</a>`}
      ${again && html`<button type="button" onClick=${again}>Try again</button>`}
    </p>
  </div>`;
}

// An answer of useAsk: its value once it is there, else why it is not. `children` makes the page of the value.
export function Answer({ of, what, children }) {
  if (of.state === "failed") return html`<${Problem} error=${of.error} again=${of.again} />`;
  if (of.value === undefined) return of.state === "idle" ? null : html`<${Loading} what=${what} />`;
  return html`<div aria-busy=${of.state === "loading"} class=${of.state === "loading" ? "stale" : ""}>${children(of.value)}</div>`;
}

export const Tile = ({ name, value, note, tone = "" }) => html`<div class=${`tile ${tone}`}>
  <dt>${name}</dt><dd><span class="figure">${value}</span>${note && html` <small>${note}</small>`}</dd>
</div>`;
