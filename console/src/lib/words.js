// How numbers, times and names of the API are said to people.
const COUNT = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const RATE = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const SHARE = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 2 });
const MANY = 10;
const CHANGE = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1, signDisplay: "exceptZero" });

export const count = (number) => COUNT.format(number ?? 0);
export const rate = (number) => RATE.format(number ?? 0);
export const share = (number) => SHARE.format(Number.isFinite(number) ? number : 0);
// "+12% against the range before"; empty if there was nothing before.
export function change(now, before) {
  if (!before) return "";
  return now >= MANY * before ? `${count(now / before)} times the range before` : `${CHANGE.format((now - before) / before)} against the range before`;
}

export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

const MOMENT = new Intl.DateTimeFormat("en-GB", {
  year: "numeric", month: "short", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
});

// A time of the API: Unix seconds, or a text of RFC 3339.
export function moment(time) {
  if (!time) return "";
  const date = new Date(typeof time === "number" ? time * 1000 : time);
  return Number.isNaN(date.valueOf()) ? String(time) : MOMENT.format(date);
}

export const instant = (date) => new Date(date).toISOString().replace(/\.\d+Z$/, "Z");

const KINDS = {
  email: "e-mail", phone: "phone", wallet_address: "wallet", user_id: "user id", browser_id: "browser", ip_address: "IP address",
};
export const IDENTIFIER_TYPES = Object.keys(KINDS);
export const kindName = (type) => KINDS[type] ?? type.replaceAll("_", " ");

// "email:a@b.com" as {type, value}; a profile's id has no type.
export function readNode(text) {
  const [, type, value] = /^([a-z_]+):(.*)$/s.exec(text) ?? [];
  return type ? { type, value } : { type: "profile", value: text };
}

export function nodeName(text) {
  const { type, value } = readNode(text);
  return type === "profile" ? value : `${kindName(type)} ${value}`;
}

const CAUSES = { event: "an event", contact: "a request to /identify", manual: "a person" };
export const causeName = (cause) => CAUSES[cause] ?? cause;

const FORMS = { campaign: "of a campaign", activity: "of a user", identified: "with identifiers" };
export const formName = (form) => FORMS[form] ?? "cannot be told";

const FIELDS = { event: "the event as a whole", other: "a field that no event has" };
export const fieldName = (field) => FIELDS[field] ?? field;

const REJECTIONS = {
  missing: "it is missing",
  contradictory: "it contradicts another field",
  unknown_value: "its value is none of those that are allowed",
  not_a_time: "it is no time",
  far_from_now: "the time is too far from the server's clock",
  wrong_type: "its value has the wrong type",
  not_text: "it is no valid text",
  too_large: "it is too long, or too many",
  too_deep: "it nests too deeply",
  other_format: "it is a field of another format",
  other: "something else",
};
export const REJECTION_NAMES = Object.keys(REJECTIONS);
export const rejectionName = (reason) => REJECTIONS[reason] ?? REJECTIONS.other;

const RULES = {
  seen_together: "came together in one event",
  merged: "an event showed both, and two people became one",
  adopted: "were joined through a browser",
  confirmed: "were said to be one person by somebody",
  same_profile: "arrived at the same profile",
  blocked: "the value is on the list of those that name nobody",
  no_letter_or_digit: "the value has no letter and no digit",
  unfilled_macro: "an ad server did not fill its macro",
  one_character: "the value is one character again and again",
  field_name: "the value is the name of its field",
  email_of_nobody: "the address is a placeholder",
  too_long: "the value is too long",
  rounded: "a spreadsheet has dropped the last digits",
  unknown_type: "the policy does not know the type",
  shared: "the value is shared by many people",
  limit: "the person has as many values of this type as the policy allows",
  large_clusters: "both people are too large to be joined without a person's word",
  never_merge: "somebody said that these are two people",
  weak_only: "only weak identifiers connect them",
  no_connection: "nothing connects them",
  would_merge: "other spelling rules would make these one person",
  would_split: "other spelling rules would make this two people",
};
export const RULE_NAMES = Object.keys(RULES);
export const ruleName = (rule) => RULES[rule] ?? rule.replaceAll("_", " ");
