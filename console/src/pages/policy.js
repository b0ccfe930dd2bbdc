// Tries another matching policy on what is stored: who would become one person, and who would not be one any more. Nothing is changed.
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { send } from "../lib/api.js";
import { useAct } from "../lib/ask.js";
import { link } from "../lib/route.js";
import { count, plural, ruleName } from "../lib/words.js";
import { Field } from "../parts/fields.js";
import { Loading, Problem, Tile } from "../parts/states.js";
import { Table } from "../parts/table.js";
import shipped from "../../../services/identity/src/dmp_identity/policy.toml";

const people = (ids) => ids.map((id, index) => html`${index ? ", " : ""}<a href=${link(["people", id])}>${id}</a>`);

const CHANGES = [
  { name: "People", wide: true, of: (row) => people(row.internal_user_ids) },
  { name: "Would be", numeric: true, of: (row) => plural(row.people_after, "person", "people") },
  { name: "Because of", wide: true, of: (row) => row.identifiers.join(", ") },
];
const ASIDE = [
  { name: "Person", of: (row) => people([row.internal_user_id]) },
  { name: "Identifier", wide: true, of: (row) => row.identifier },
  { name: "Why", wide: true, of: (row) => ruleName(row.rule) },
];

function Outcome({ outcome }) {
  const same = !(outcome.merge_count + outcome.split_count + outcome.set_aside_count);
  return html`<section aria-labelledby="outcome"><h2 id="outcome">What it would make of the stored data</h2>
    <p class=${`health ${same ? "good" : "fair"}`} role="status">${same ? "Nothing would change: the same people, by the same evidence." : "Some people would change. Nothing was changed by this trial."}</p>
    <dl class="tiles"><${Tile} name="People now" value=${count(outcome.people_before)} /><${Tile} name="People with it" value=${count(outcome.people_after)} />
      <${Tile} name="Would become one" value=${count(outcome.merge_count)} /><${Tile} name="Would come apart" value=${count(outcome.split_count)} /><${Tile} name="Values set aside" value=${count(outcome.set_aside_count)} /></dl>
    ${[["Would become one person", outcome.merges, CHANGES], ["Would not be one person any more", outcome.splits, CHANGES], ["Would be set aside", outcome.set_aside, ASIDE]]
      .filter(([, rows]) => rows.length).map(([title, rows, columns]) => html`<section class="card"><h3>${title}</h3><${Table} label=${title} columns=${columns} rows=${rows} /></section>`)}
  </section>`;
}

export function Policy() {
  const [text, setText] = useState(shipped);
  const [result, tryIt] = useAct(async () => (await send("POST", "/debug/policy:try", { text, contentType: "application/toml" })).json());
  const load = async (event) => {
    const [file] = event.target.files;
    if (file) setText(await file.text());
  };
  return html`<h1 tabindex="-1">Policy</h1>
    <p class="quiet">A policy says which identifiers are strong, how they are compared, and what is refused. Change it here and try it: it reads every identifier, changes
      nothing, and is not for the busy hour.</p>
    <form class="card" onSubmit=${(event) => { event.preventDefault(); tryIt(); }}>
      <${Field} label="Policy, as TOML" hint="To begin with, the one that comes with DMP. Load yours if your system has another."><textarea rows="18" spellcheck=${false} value=${text} onInput=${(event) => setText(event.target.value)}></textarea></${Field}>
      <p class="actions"><button type="submit" class="main" disabled=${result.state === "loading"}>Try it</button>
        <label class="button">Load a file<input class="unseen" type="file" accept=".toml,text/plain" onChange=${load} /></label>
        <button type="button" onClick=${() => setText(shipped)}>As shipped</button></p>
    </form>
    ${result.state === "loading" && html`<${Loading} what="Reading every identifier" />`}
    ${result.state === "failed" && html`<${Problem} error=${result.error} />`}
    ${result.state === "ready" && html`<${Outcome} outcome=${result.value} />`}`;
}
