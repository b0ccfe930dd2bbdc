// People who share a weak identifier with this one, side by side, for somebody to say whether they are one.
import { html } from "../lib/html.js";
import { useAsk } from "../lib/ask.js";
import { joinPeople, keepApart } from "../lib/decisions.js";
import { readMatches, readPerson } from "../lib/people.js";
import { link } from "../lib/route.js";
import { IDENTIFIER_TYPES, kindName } from "../lib/words.js";
import { Answer, Empty } from "../parts/states.js";

const values = (person, type) => person.identifiers.filter((one) => one.identifier === type).map((one) => one.value);

function Beside({ person, other }) {
  const types = IDENTIFIER_TYPES.filter((type) => values(person, type).length + values(other, type).length);
  const list = (mine, theirs) => html`<ul>${mine.map((value) => html`<li class=${theirs.includes(value) ? "shared" : ""}>${value}${theirs.includes(value) && html` <span class="tag weak">shared</span>`}</li>`)}</ul>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${`${person.internal_user_id} beside ${other.internal_user_id}`}><table>
    <thead><tr><th scope="col">Type</th><th scope="col">${person.internal_user_id}</th><th scope="col">${other.internal_user_id}</th></tr></thead>
    <tbody>${types.map((type) => html`<tr><th scope="row">${kindName(type)}</th>
      <td class="wide">${list(values(person, type), values(other, type))}</td><td class="wide">${list(values(other, type), values(person, type))}</td></tr>`)}</tbody>
  </table></div>`;
}

function Match({ person, match, decide }) {
  const other = useAsk((signal) => readPerson(match.internal_user_id, signal), [match.internal_user_id]);
  const [one, two] = [person.internal_user_id, match.internal_user_id];
  return html`<li class="card">
    <h3><a href=${link(["people", two])}>${two}</a></h3>
    <p>Both have ${match.shared.map((each, index) => html`${index ? ", " : ""}${kindName(each.identifier)} ${each.value}`)}.</p>
    <${Answer} of=${other}>${(value) => html`<${Beside} person=${person} other=${value} />`}</${Answer}>
    <p class="actions"><button type="button" onClick=${() => decide(joinPeople(one, two))}>Same person …</button><button type="button" onClick=${() => decide(keepApart(one, two))}>Two people …</button></p>
  </li>`;
}

export function Matches({ person, decide }) {
  const matches = useAsk((signal) => readMatches(person.internal_user_id, signal), [person]);
  const apart = new Set(person.never_merges.flatMap((never) => never.internal_user_ids));
  return html`<section aria-labelledby="matches"><h2 id="matches">Possible matches</h2>
    <p class="quiet">They share a browser or an address. That never joins people by itself.</p>
    <${Answer} of=${matches} what="Looking for others">${(found) => {
      const open = found.filter((match) => !apart.has(match.internal_user_id));
      return open.length === 0 ? html`<${Empty}>Nobody shares a weak identifier with this person${found.length ? " but those who are kept apart from them" : ""}.</${Empty}>`
        : html`<ul class="plain">${open.map((match) => html`<${Match} key=${match.internal_user_id} person=${person} match=${match} decide=${decide} />`)}</ul>`;
    }}</${Answer}></section>`;
}
