// Who was merged into a person, when, by what and why; taking a merge back after a look at what that leaves; who is kept apart from them.
import { html } from "../lib/html.js";
import { pathOf, post } from "../lib/api.js";
import { keepApart, liftApart } from "../lib/decisions.js";
import { withoutMerge } from "../lib/people.js";
import { link } from "../lib/route.js";
import { kindName, moment, nodeName, plural } from "../lib/words.js";
import { Text, submitted } from "../parts/fields.js";
import { Empty } from "../parts/states.js";

const MOST_NAMED = 6; // identifiers of one side of a preview

function Side({ side }) {
  const named = side.identifiers.slice(0, MOST_NAMED);
  return html`<li><b>${side.profiles.join(", ")}</b>
    ${named.length === 0 ? html`<p class="quiet">without an identifier</p>` : html`<ul>${named.map((one) => html`<li>${kindName(one.identifier)} ${one.value}</li>`)}</ul>`}
    ${side.identifiers.length > MOST_NAMED && html`<p class="quiet">and ${plural(side.identifiers.length - MOST_NAMED, "more identifier")}</p>`}</li>`;
}

// What taking a merge back would leave, and the request that does it.
function undo(person, merge) {
  const sides = withoutMerge(person, merge.merge_id);
  const does = sides.length > 1
    ? html`<p>This one person becomes ${sides.length}. They are kept apart until somebody lifts it:</p><ol class="sides">${sides.map((side) => html`<${Side} side=${side} />`)}</ol>
        <p class="quiet">Contacts and timelines go with their profiles. What was learned since stays where it arrived. Both ids keep working.</p>`
    : html`<p>Other merges hold all of these profiles together, so they stay one person. The merge is marked as taken back.</p>`;
  return {
    title: "Take this merge back?",
    button: "Take it back",
    tone: "danger",
    does,
    act: (reason) => post(`${pathOf("merges", merge.merge_id)}:undo`, { reason }),
    done: (answer) => (answer.already_undone
      ? "It had been taken back already."
      : html`It was taken back: ${answer.internal_user_ids.map((id, index) => html`${index ? ", " : ""}<a href=${link(["people", id])}>${id}</a>`)} are people of their own now.`),
  };
}

function why(merge) {
  if (merge.cause === "manual") return html`A person joined them${merge.reason ? `: ${merge.reason}` : "."}`;
  if (merge.cause === "contact") return "A request to /identify named both.";
  return html`The event <a href=${link(["events", merge.ref])}>${merge.ref}</a> of ${merge.source} showed both.`;
}

function Merge({ merge, person, decide }) {
  return html`<li class=${`card ${merge.undone ? "undone" : ""}`}>
    <h3>${merge.edges.map((edge, index) => html`${index ? ", " : ""}${edge.merged_id} became part of ${edge.survivor_id}`)}</h3>
    <p>${moment(merge.merged_at)}. ${why(merge)}</p>
    ${merge.edges.some((edge) => edge.evidence.length) && html`<p class="chips">${[...new Set(merge.edges.flatMap((edge) => edge.evidence))].map((one) => html`<span class="tag strong">${nodeName(one)}</span>`)}</p>`}
    ${merge.undone
      ? html`<p class="quiet">Taken back on ${moment(merge.undone_at)}${merge.undo_reason ? `: ${merge.undo_reason}` : ""}.</p>`
      : html`<p class="actions"><button type="button" onClick=${() => decide(undo(person, merge))}>Take back …</button></p>`}
  </li>`;
}

export function Merges({ person, decide }) {
  const merges = [...person.merges].sort((a, b) => b.merged_at - a.merged_at);
  const apart = (event) => decide(keepApart(person.internal_user_id, submitted(event).other));
  return html`<section aria-labelledby="merges"><h2 id="merges">Merges, the last first</h2>
      ${merges.length === 0 ? html`<${Empty}>This person was never merged with another.</${Empty}>`
        : html`<ul class="plain">${merges.map((merge) => html`<${Merge} key=${merge.merge_id} merge=${merge} person=${person} decide=${decide} />`)}</ul>`}</section>
    <section class="card" aria-labelledby="apart"><h2 id="apart">Kept apart from</h2>
      ${person.never_merges.length === 0 ? html`<${Empty}>Nobody is kept apart from this person.</${Empty}>`
        : html`<ul class="rows">${person.never_merges.map((never) => html`<li key=${never.never_merge_id}>
            <span>${never.internal_user_ids.filter((id) => !person.profile_ids.includes(id)).map((id) => html`<a href=${link(["people", id])}>${id}</a> `)}
              since ${moment(never.created_at)}${never.reason && `: ${never.reason}`}</span>
            <button type="button" onClick=${() => decide(liftApart(never))}>Lift …</button></li>`)}</ul>`}
      <form class="form" onSubmit=${apart}><${Text} label="Keep apart from" name="other" required pattern="user_[0-9a-z]+" placeholder="user_…" /><button type="submit">Keep apart …</button></form>
    </section>`;
}
