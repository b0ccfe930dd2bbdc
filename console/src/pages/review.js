// Evidence that was not followed, for a person to decide; and values that many people share.
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { getAll } from "../lib/api.js";
import { useAsk } from "../lib/ask.js";
import { giveIdentifier, joinPeople, keepApart, undoShared } from "../lib/decisions.js";
import { readRefusals } from "../lib/people.js";
import { go, link } from "../lib/route.js";
import { RULE_NAMES, count, kindName, moment, plural, ruleName } from "../lib/words.js";
import { Decision } from "../parts/decision.js";
import { Choice, Text, submitted } from "../parts/fields.js";
import { Answer } from "../parts/states.js";
import { Table } from "../parts/table.js";

const NOT_REFUSALS = new Set(["seen_together", "merged", "adopted", "confirmed", "same_profile", "weak_only", "no_connection"]);
const RULES = [["", "All"], ...RULE_NAMES.filter((rule) => !NOT_REFUSALS.has(rule)).map((rule) => [rule, ruleName(rule)])];

const person = (id) => id && html`<a href=${link(["people", id])}>${id}</a>`;

function Decide({ refusal, decide }) {
  const { identifier, value, internal_user_id: one, other_user_id: two } = refusal;
  if (one && two) {
    return html`<span class="actions"><button type="button" onClick=${() => decide(joinPeople(one, two))}>Same person …</button>
      <button type="button" onClick=${() => decide(keepApart(one, two))}>Two people …</button></span>`;
  }
  if (one && refusal.rule === "limit") return html`<button type="button" onClick=${() => decide(giveIdentifier(one, identifier, value))}>Give it to them …</button>`;
  return html`<span class="quiet">by the policy</span>`;
}

const columns = (decide) => [
  { name: "What was set aside", wide: true, of: (one) => html`<span class="tag">${kindName(one.identifier)}</span> <b>${one.value}</b>` },
  { name: "Why", wide: true, of: (one) => ruleName(one.rule) },
  { name: "People", of: (one) => html`${person(one.internal_user_id)} ${person(one.other_user_id)}` },
  { name: "Times", numeric: true, of: (one) => count(one.times) },
  { name: "Last", of: (one) => moment(one.last_at) },
  { name: "Last event", wide: true, of: (one) => one.ref && html`<a href=${link(["events", one.ref])}>${one.ref}</a> <small>${one.source}</small>` },
  { name: "Decide", of: (one) => html`<${Decide} refusal=${one} decide=${decide} />` },
];

const shared = (decide) => [
  { name: "Value", wide: true, of: (one) => html`<span class="tag">${kindName(one.identifier)}</span> <b>${one.value}</b>` },
  { name: "Shared since", of: (one) => moment(one.shared_at) },
  { name: "Merges it made", numeric: true, of: (one) => count(one.merges) },
  { name: "Identifiers it brought", numeric: true, of: (one) => count(one.attached) },
  { name: "At", of: (one) => person(one.internal_user_id) },
  { name: "Decide", of: (one) => html`<button type="button" disabled=${one.merges + one.attached === 0} onClick=${() => decide(undoShared(one))}>Take back what it joined …</button>` },
];

export function Review({ query }) {
  const { rule = "", person: of = "" } = query;
  const refusals = useAsk((signal) => readRefusals({ rule, internal_user_id: of }, signal), [rule, of]);
  const values = useAsk((signal) => getAll("/debug/shared", {}, "values", { signal }), []);
  const [decision, decide] = useState(null);
  const [said, say] = useState(null);
  const done = (value) => {
    say(decision.done(value));
    decide(null);
    refusals.again();
    values.again();
  };
  return html`<h1 tabindex="-1">Review</h1>
    ${said && html`<p class="health good" role="status">${said}</p>`}
    <p class="quiet">What came with an event and was not followed. A decision that somebody made here is never changed by the machine.</p>
    <form class="form" onSubmit=${(event) => go(["review"], { ...query, ...submitted(event) })}>
      <${Choice} label="Why" value=${rule} options=${RULES} onChange=${(one) => go(["review"], { ...query, rule: one })} />
      <${Text} label="Only of this person" name="person" value=${of} pattern="user_[0-9a-z]+" placeholder="user_…" /><button type="submit">Show</button>
    </form>
    <section class="card" aria-labelledby="refused"><h2 id="refused">Set aside</h2>
      <${Answer} of=${refusals} what="Reading what was set aside">${({ items, more }) => html`
        <${Table} label="What was set aside" columns=${columns(decide)} rows=${items} empty="Nothing was set aside: every identifier was followed." />
        ${more && html`<p class="quiet">The first ${plural(items.length, "entry", "entries")}; there are more.</p>`}`}</${Answer}></section>
    <section class="card" aria-labelledby="shared"><h2 id="shared">Values that many people share</h2>
      <${Answer} of=${values}>${({ items }) => html`<${Table} label="Shared values and what they joined" columns=${shared(decide)} rows=${items} empty="No value is shared by so many people that it stopped matching." />`}</${Answer}></section>
    ${decision && html`<${Decision} decision=${decision} onDone=${done} onClose=${() => decide(null)} />`}`;
}
