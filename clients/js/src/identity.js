// Who it is: an id of this browser, made at once in memory and then stored if it may be, and what the page knows of the person.
import { attempt } from "./guard.js";
import { consent, GIVEN } from "./settings.js";
import { read, remove, write } from "./storage.js";

const ID = "dmp:id";
const KNOWN = "dmp:known"; // in this tab: a number made of the identifiers of the last `identify`

// 128 random bits; also where `randomUUID` is missing, as on pages without TLS.
export const randomId = () => crypto.getRandomValues(new Uint32Array(4)).join("-");

export let idInMemory = randomId();

// The id of this browser: the stored one, which another tab may have made meanwhile; else ours, which is stored now.
export function browserId() {
  if (consent === GIVEN) {
    idInMemory = read(ID) || idInMemory;
    write(ID, idInMemory);
  }
  return idInMemory;
}

export function forgetBrowser() {
  idInMemory = randomId();
  remove(ID);
  attempt(() => sessionStorage.removeItem(KNOWN));
}

export let known;
let lastNumber;

// Takes over what the page knows of the person; whether this tab is told so for the first time.
export function know(identifiers) {
  const text = JSON.stringify(identifiers || 0);
  known = JSON.parse(text);
  let number = 0;
  for (const character of text) number = (number * 31 + character.charCodeAt()) | 0;
  const before = lastNumber ?? (consent === GIVEN && attempt(() => +sessionStorage.getItem(KNOWN)));
  lastNumber = number;
  if (consent === GIVEN) attempt(() => sessionStorage.setItem(KNOWN, number));
  return identifiers && before !== number;
}
