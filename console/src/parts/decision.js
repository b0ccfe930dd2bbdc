// Asks before something is changed: says what will happen, wants a reason, shows what went wrong.
import { useEffect, useRef } from "preact/hooks";
import { html } from "../lib/html.js";
import { useAct } from "../lib/ask.js";
import { Text, submitted } from "./fields.js";
import { Problem } from "./states.js";

// decision: {title, button, tone, does: content, reason: whether one is asked for, act: async (reason) => value}.
export function Decision({ decision, onDone, onClose }) {
  const dialog = useRef();
  const [result, act] = useAct(decision.act);
  useEffect(() => dialog.current.showModal(), []);
  const decide = async (event) => {
    const { reason = "" } = submitted(event);
    const value = await act(reason);
    if (value !== undefined) onDone(value);
  };
  return html`<dialog ref=${dialog} onClose=${onClose} aria-labelledby="decision">
    <form onSubmit=${decide}>
      <h2 id="decision">${decision.title}</h2>
      <div class="does">${decision.does}</div>
      ${decision.reason !== false && html`<${Text} label="Reason" name="reason" required maxlength="500" hint="It stays in the audit log." />`}
      ${result.state === "failed" && html`<${Problem} error=${result.error} />`}
      <p class="actions">
        <button type="submit" class=${decision.tone ?? "main"} disabled=${result.state === "loading"}>${decision.button}</button>
        <button type="button" onClick=${() => dialog.current.close()}>Leave it</button>
      </p>
    </form>
  </dialog>`;
}
