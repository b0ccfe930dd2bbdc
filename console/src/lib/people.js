// What is known of a person, and what taking a merge back would leave.
import { get, getAll, pathOf } from "./api.js";

// Identifiers with where they came from, contacts, merges and what keeps the person apart from others.
export const readPerson = (id, signal) => get(pathOf("users", id, "export"), { page_size: 1 }, signal);

export const readTimeline = (id, token, signal) => get(pathOf("users", id), { page_size: 100, page_token: token }, signal);

export async function readMatches(id, signal) {
  const found = new Map();
  let token = "";
  do {
    const page = await get(pathOf("users", id), { page_size: 1, matches_token: token }, signal);
    for (const match of page.possible_matches) {
      found.set(match.internal_user_id, [...(found.get(match.internal_user_id) ?? []), match]);
    }
    token = page.next_matches_token;
  } while (token && found.size < 50);
  return [...found].map(([internal_user_id, shared]) => ({ internal_user_id, shared }));
}

export const readRefusals = (query, signal) => getAll("/debug/review", query, "refusals", { signal, most: 500 });

// The people that are left if one merge is taken back: groups of profiles that the other merges still hold together, each with the identifiers
// that arrived there.
export function withoutMerge(person, mergeId) {
  const group = new Map(person.profile_ids.map((id) => [id, id]));
  const head = (id) => {
    while (group.get(id) !== undefined && group.get(id) !== id) id = group.get(id);
    return id;
  };
  for (const merge of person.merges) {
    if (merge.undone || merge.merge_id === mergeId) continue;
    for (const edge of merge.edges) group.set(head(edge.merged_id), head(edge.survivor_id));
  }
  const people = new Map();
  for (const id of person.profile_ids) people.set(head(id), [...(people.get(head(id)) ?? []), id]);
  return [...people.values()].map((profiles) => ({
    profiles,
    identifiers: person.identifiers.filter((one) => profiles.includes(one.internal_user_id)),
  }));
}
