// The decisions about people that several pages offer. Each says what it will do; `done` says what it has done.
import { html } from "./html.js";
import { pathOf, post } from "./api.js";
import { link } from "./route.js";

const personLink = (id) => html`<a href=${link(["people", id])}>${id}</a>`;

export const joinPeople = (one, other) => ({
  title: `Make ${one} and ${other} one person?`,
  button: "Make them one person",
  does: html`<p>The older of the two answers for both from now on. Both ids keep working. Identifiers, contacts and timelines are shown together, and
    statistics do not change. The merge can be taken back.</p>`,
  act: (reason) => post("/merge", { internal_user_ids: [one, other], reason }),
  done: (value) => (value.merge_id ? html`They are one person now, ${personLink(value.internal_user_id)}.` : "They were one person already."),
});

export const keepApart = (one, other) => ({
  title: `Keep ${one} and ${other} apart?`,
  button: "Keep them apart",
  does: html`<p>No event and no request makes them one person from now on, whatever identifiers it shows together. What is refused for this is listed
    on the page Review. It can be lifted.</p>`,
  act: (reason) => post("/never-merges", { internal_user_ids: [one, other], reason }),
  done: () => `${one} and ${other} are kept apart from now on.`,
});

export const liftApart = (never) => ({
  title: "Let evidence join them again?",
  button: "Lift it",
  does: html`<p>${never.internal_user_ids.join(" and ")} were kept apart because: ${never.reason || "no reason was given"}. From now on an event that shows both
    makes them one person. What was refused until now is not followed.</p>`,
  act: (reason) => post(`${pathOf("never-merges", never.never_merge_id)}:remove`, { reason }),
  done: () => "Evidence may join them again.",
});

export const giveIdentifier = (person, identifier, value) => ({
  title: `Give ${value} to ${person}?`,
  button: "Give it",
  does: html`<p>Whoever has this identifier becomes one with ${person}, with all that arrived there. It is a merge like any other and can be taken back.</p>`,
  act: (reason) => post(`${pathOf("users", person, "identifiers")}:attach`, { identifier, value, reason }),
  done: () => `${person} has ${value} now.`,
});

export const takeIdentifier = (person, identifier, value) => ({
  title: `Take ${value} from ${person}?`,
  button: "Take it",
  does: html`<p>The identifier gets a profile of its own, which is kept apart from this person. Events that are stored stay on the timeline. Later events go by the
    rules. It can be given back.</p>`,
  act: (reason) => post(`${pathOf("users", person, "identifiers")}:detach`, { identifier, value, reason }),
  done: (answer) => html`${value} belongs to ${personLink(answer.detached_user_id)} now.`,
});

export const undoShared = ({ identifier, value, merges, attached }) => ({
  title: `Take back what ${value} joined?`,
  button: "Take it back",
  tone: "danger",
  does: html`<p>${merges} merges that it made are undone, and ${attached} identifiers that it brought get profiles of their own. From then on it matches nobody. Nobody is
    kept apart: other evidence may still join them. At most 1,000 merges at once, the last ones first.</p>`,
  act: (reason) => post("/debug/shared:undo", { identifier, value, reason }),
  done: (answer) => `${answer.merge_ids.length} merges were taken back; ${answer.internal_user_ids.length} people were touched.`,
});
