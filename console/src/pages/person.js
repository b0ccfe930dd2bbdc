// One person, in views that each have a URL: identifiers, graph, timeline, merges, possible matches.
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { useAsk } from "../lib/ask.js";
import { readPerson, readTimeline } from "../lib/people.js";
import { link } from "../lib/route.js";
import { kindName, moment, plural } from "../lib/words.js";
import { Decision } from "../parts/decision.js";
import { Answer, Empty, Tile } from "../parts/states.js";
import { Table } from "../parts/table.js";
import { Graph } from "./person_graph.js";
import { Matches } from "./person_matches.js";
import { Merges } from "./person_merges.js";

const VIEWS = [["", "Identifiers"], ["graph", "Why one person"], ["timeline", "Timeline"], ["merges", "Merges"], ["matches", "Possible matches"]];

const IDENTIFIERS = [
  { name: "Type", of: (one) => html`<span class=${`tag ${one.strength}`}>${kindName(one.identifier)}</span>` },
  { name: "Value", wide: true, of: (one) => html`<b>${one.value}</b>${one.normalized !== one.value && html`<br /><small>compared as ${one.normalized}</small>`}` },
  { name: "Strength", of: (one) => one.strength },
  { name: "First seen", of: (one) => moment(one.first_seen_at) },
  { name: "Source", of: (one) => one.source },
  { name: "Shown by", wide: true, of: (one) => one.ref && html`<a href=${link(["events", one.ref])}>${one.ref}</a>` },
  { name: "Arrived at", of: (one) => one.internal_user_id },
];

const CONTACTS = [
  { name: "Id", numeric: true, of: (one) => one.id },
  { name: "Precedence", of: (one) => one.linkPrecedence },
  { name: "Linked to", numeric: true, of: (one) => one.linkedId || "" },
  { name: "E-mail", wide: true, of: (one) => one.email },
  { name: "Phone", of: (one) => one.phoneNumber },
  { name: "Made", of: (one) => moment(one.created_at) },
  { name: "Changed", of: (one) => moment(one.updated_at) },
];

function Known({ person }) {
  const strong = person.identifiers.filter((one) => one.strength === "strong");
  return html`<section class="card" aria-labelledby="identifiers"><h2 id="identifiers">Identifiers and where they came from</h2>
      <${Table} label="Identifiers" columns=${IDENTIFIERS} rows=${[...strong, ...person.identifiers.filter((one) => one.strength !== "strong")]} empty="No identifier is left." /></section>
    <section class="card" aria-labelledby="contacts"><h2 id="contacts">Contacts</h2>
      <${Table} label="Contacts" columns=${CONTACTS} rows=${person.contacts} empty="No request to /identify has named this person." /></section>`;
}

const ENTRIES = [
  { name: "Time", of: (one) => moment(one.timestamp) },
  { name: "Type", of: (one) => one.event_type },
  { name: "Source", of: (one) => one.source },
  { name: "Event", wide: true, of: (one) => html`<a href=${link(["events", one.event_id])}>${one.event_id}</a>` },
];

function Timeline({ id }) {
  const [tokens, setTokens] = useState([""]);
  const page = useAsk((signal) => readTimeline(id, tokens.at(-1), signal), [id, tokens.length]);
  return html`<section class="card" aria-labelledby="timeline"><h2 id="timeline">Timeline, the oldest first</h2>
    <${Answer} of=${page} what="Reading the timeline">${(value) => html`
      <${Table} label="Timeline" columns=${ENTRIES} rows=${value.events} empty="Nothing was recorded of this person yet." />
      <p class="actions">
        <button type="button" disabled=${tokens.length === 1} onClick=${() => setTokens(tokens.slice(0, -1))}>Earlier</button>
        <button type="button" disabled=${!value.next_page_token} onClick=${() => setTokens([...tokens, value.next_page_token])}>Later</button>
        <span class="quiet">Page ${tokens.length}</span>
      </p>`}</${Answer}></section>`;
}

function View({ view, person, query, decide }) {
  if (view === "graph") return html`<${Graph} person=${person} query=${query} />`;
  if (view === "timeline") return html`<${Timeline} id=${person.internal_user_id} />`;
  if (view === "merges") return html`<${Merges} person=${person} decide=${decide} />`;
  if (view === "matches") return html`<${Matches} person=${person} decide=${decide} />`;
  return html`<${Known} person=${person} />`;
}

function Whole({ person, view, query, asked, decide }) {
  const merges = person.merges.filter((merge) => !merge.undone);
  return html`
    ${asked !== person.internal_user_id && html`<p class="health fair" role="status">${asked} became part of ${person.internal_user_id}; the old id keeps working.</p>`}
    <dl class="tiles">
      <${Tile} name="Identifiers" value=${person.identifiers.length} note=${plural(person.identifiers.filter((one) => one.strength === "strong").length, "strong one")} />
      <${Tile} name="Profiles that became one" value=${person.profile_ids.length} />
      <${Tile} name="Merges" value=${merges.length} note=${person.merges.length > merges.length ? `${person.merges.length - merges.length} taken back` : ""} />
      <${Tile} name="Contacts" value=${person.contacts.length} />
      <${Tile} name="Kept apart from" value=${person.never_merges.length} />
    </dl>
    <nav class="views" aria-label="Views of this person">${VIEWS.map(([name, text]) => html`<a href=${link(["people", person.internal_user_id, ...(name ? [name] : [])])}
      aria-current=${name === view ? "page" : undefined}>${text}</a>`)}</nav>
    <${View} view=${view} person=${person} query=${query} decide=${decide} />`;
}

export function Person({ id, view = "", query }) {
  const person = useAsk((signal) => readPerson(id, signal), [id]);
  const [decision, decide] = useState(null);
  const [said, say] = useState(null);
  const done = (value) => {
    say(decision.done(value));
    decide(null);
    person.again();
  };
  return html`<h1 tabindex="-1">Person ${person.value?.internal_user_id ?? id}</h1>
    ${said && html`<p class="health good" role="status">${said}</p>`}
    ${person.state === "failed" && person.error.status === 404
      ? html`<${Empty}>Nobody has the id ${id}. <a href=${link(["people"])}>Find a person by an identifier</a>.</${Empty}>`
      : html`<${Answer} of=${person} what="Reading the person">${(value) => html`<${Whole} person=${value} view=${view} query=${query} asked=${id} decide=${decide} />`}</${Answer}>`}
    ${decision && html`<${Decision} decision=${decision} onDone=${done} onClose=${() => decide(null)} />`}`;
}
