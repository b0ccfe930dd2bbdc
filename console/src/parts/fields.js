// Labelled fields of forms.
import { html } from "../lib/html.js";

export const Field = ({ label, hint, children }) => html`<label class="field"><span>${label}</span>${children}${hint && html`<small>${hint}</small>`}</label>`;

export const Text = ({ label, hint, onInput, ...rest }) => html`<${Field} label=${label} hint=${hint}>
  <input type="text" autocomplete="off" spellcheck=${false} ...${rest} onInput=${(event) => onInput?.(event.target.value)} />
</${Field}>`;

// options: texts, or pairs of value and name.
export const Choice = ({ label, hint, options, value, onChange, ...rest }) => html`<${Field} label=${label} hint=${hint}>
  <select ...${rest} value=${value} onChange=${(event) => onChange?.(event.target.value)}>
    ${options.map((option) => (Array.isArray(option) ? option : [option, option])).map(([one, name]) => html`<option value=${one} selected=${one === value}>${name}</option>`)}
  </select>
</${Field}>`;

export const Check = ({ label, checked, onChange, ...rest }) => html`<label class="check">
  <input type="checkbox" ...${rest} checked=${checked} onChange=${(event) => onChange(event.target.checked)} /><span>${label}</span>
</label>`;

// The fields of a submitted form as an object of texts.
export function submitted(event) {
  event.preventDefault();
  return Object.fromEntries([...new FormData(event.target)].map(([name, value]) => [name, String(value).trim()]));
}
