// Finds a person by any identifier, of any type.
import { html } from "../lib/html.js";
import { ApiError, get } from "../lib/api.js";
import { useAsk } from "../lib/ask.js";
import { go, link } from "../lib/route.js";
import { IDENTIFIER_TYPES, kindName, plural } from "../lib/words.js";
import { Choice, Text, submitted } from "../parts/fields.js";
import { Answer, Empty } from "../parts/states.js";

const INTERNAL = /^user_[0-9a-z]+$/;

// The matches of a value, in all types or one: [{identifier, value, normalized, strength, internal_user_id, candidates}]. Types that do not have
// it, or cannot, are left out.
async function find(type, value, signal) {
  const one = async (identifier) => {
    try {
      const found = await get("/debug/match", { identifier, value }, signal);
      return [{ ...found.match, internal_user_id: found.internal_user_id, candidates: found.candidates ?? [] }];
    } catch (error) {
      if (error instanceof ApiError && (error.status === 404 || (error.status === 400 && !type))) return [];
      throw error;
    }
  };
  const byId = async () => {
    try {
      const person = await get(`/users/${value}`, { page_size: 1 }, signal);
      return [{ identifier: "internal id", value, normalized: value, strength: "", internal_user_id: person.internal_user_id, candidates: [] }];
    } catch (error) {
      if (error.status === 404) return [];
      throw error;
    }
  };
  const questions = (type ? [type] : IDENTIFIER_TYPES).map(one);
  if (!type && INTERNAL.test(value)) questions.push(byId());
  return (await Promise.all(questions)).flat();
}

function Match({ match }) {
  const owners = match.internal_user_id ? [match.internal_user_id] : match.candidates;
  return html`<li class="card match">
    <p><span class="tag">${kindName(match.identifier)}</span> <b>${match.value}</b>${match.normalized !== match.value && html` <small>compared as ${match.normalized}</small>`}</p>
    ${!match.internal_user_id && html`<p class="quiet">A weak identifier that ${plural(owners.length, "person", "people")} share: it says of none that they have it alone.</p>`}
    <p class="actions">${owners.map((owner) => html`<a class="button" href=${link(["people", owner])}>${owner}</a><a href=${link(["people", owner, "graph"])}>why is this one person?</a>`)}</p>
  </li>`;
}

export function People({ query }) {
  const { value = "", type = "" } = query;
  const found = useAsk(value ? (signal) => find(type, value, signal) : null, [value, type]);
  return html`<h1 tabindex="-1">People</h1>
    <form class="form" role="search" onSubmit=${(event) => go(["people"], submitted(event))}>
      <${Text} label="Identifier" name="value" required maxlength="1024" value=${value} hint="An e-mail, phone, wallet, user id, browser id, IP address, or user_…, in any spelling." />
      <${Choice} label="Type" name="type" value=${type} options=${[["", "Any"], ...IDENTIFIER_TYPES.map((one) => [one, kindName(one)])]} />
      <button type="submit" class="main">Find</button>
    </form>
    ${value && html`<${Answer} of=${found} what="Looking">${(matches) =>
      matches.length
        ? html`<ul class="plain">${matches.map((match) => html`<${Match} key=${match.identifier} match=${match} />`)}</ul>`
        : html`<${Empty}>Nobody is known by ${value}. No event that was stored carried it, or it was <a href=${link(["review"])}>set aside</a>.</${Empty}>`}
    </${Answer}>`}`;
}
