// The tagged template that writes elements: html`<p>${text}</p>`. Values are texts, never markup.
import { h } from "preact";
import htm from "htm";

export const html = htm.bind(h);
