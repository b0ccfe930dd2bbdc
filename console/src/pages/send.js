// Sends a test event, and shows the lines of curl and Python that send the same one.
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { post, send } from "../lib/api.js";
import { useAct } from "../lib/ask.js";
import { copyText } from "../lib/files.js";
import { link } from "../lib/route.js";
import { readKey } from "../lib/storage.js";
import { EVENT_TYPES, curlLine, freshId, pythonLine, testEvent } from "../lib/test_event.js";
import { IDENTIFIER_TYPES, kindName, plural } from "../lib/words.js";
import { Choice, Text } from "../parts/fields.js";
import { Loading, Problem } from "../parts/states.js";

const BEGINNING = { type: "click", source: "console", campaign_id: "camp_test", creative_id: "", email: "", phone: "", wallet_address: "", user_id: "u_test", browser_id: "", ip_address: "" };

function Code({ title, text }) {
  const [copied, setCopied] = useState(false);
  const copy = () => copyText(text).then(() => setCopied(true), () => setCopied(false));
  return html`<section class="card code"><h3>${title}</h3><pre tabindex="0" aria-label=${title}>${text}</pre>
    <p class="actions"><button type="button" onClick=${copy}>Copy</button><span role="status">${copied ? "Copied." : ""}</span></p></section>`;
}

const problems = (errors) => html`<ul>${Object.entries(errors ?? {}).flatMap(([name, texts]) => texts.map((text) => html`<li><b>${name}</b> ${text}</li>`))}</ul>`;

function Verdict({ answer, event }) {
  const [result] = answer.results;
  if (result.status === "error") return html`<div class="problem" role="alert"><p>It was rejected, and nothing was stored.</p>${problems(result.errors)}</div>`;
  return html`<div class="health good" role="status"><p><b>${result.duplicate ? "A duplicate." : "Accepted."}</b> ${result.duplicate
      ? "This event id was stored before; it is not counted again." : "It is stored, and survives the loss of any process."} ${answer.applied ? "" : "Statistics and people show it soon."}</p>
    <p class="actions"><a class="button" href=${link(["events", result.event_id])}>What became of it</a>
      ${event.campaign_id && html`<a class="button" href=${link(["campaigns", event.campaign_id], { last: "1h" })}>Its campaign</a>`}
      ${result.internal_user_id && html`<a class="button" href=${link(["people", result.internal_user_id])}>Its person</a>`}</p></div>`;
}

function Judged({ answer }) {
  if (answer.rejected === 0) return html`<p class="health good" role="status"><b>Valid.</b> Nothing was stored.</p>`;
  return html`<div class="problem" role="alert"><p>${plural(answer.rejected, "event")} would be rejected.</p>${answer.results.map((one) => problems(one.errors))}</div>`;
}

const ask = async (event) => ({ event, answer: await (await send("POST", "/events", { body: event })).json() });

export function Send() {
  const [fields, setFields] = useState(() => ({ ...BEGINNING, event_id: freshId() }));
  const [sent, sendIt] = useAct(ask);
  const [judged, judge, forget] = useAct((event) => post("/events:validate", event));
  const set = (name) => (value) => setFields((before) => ({ ...before, [name]: value }));
  const event = testEvent(fields);
  const hasKey = Boolean(readKey());
  const submit = async (submission) => {
    submission.preventDefault();
    forget();
    await sendIt(event);
  };
  return html`<h1 tabindex="-1">Send</h1>
    <div class="halves">
      <form class="card" onSubmit=${submit} aria-label="Test event">
        <h2>A test event</h2>
        <div class="grid">
          <${Choice} label="Type" value=${fields.type} options=${EVENT_TYPES} onChange=${set("type")} />
          <${Text} label="Source" value=${fields.source} onInput=${set("source")} required />
          <${Text} label="Campaign" value=${fields.campaign_id} onInput=${set("campaign_id")} hint="Empty: an event of a person only." />
          <${Text} label="Creative" value=${fields.creative_id} onInput=${set("creative_id")} />
          <${Text} label="Event id" value=${fields.event_id} onInput=${set("event_id")} required />
          ${IDENTIFIER_TYPES.map((type) => html`<${Text} key=${type} label=${kindName(type)[0].toUpperCase() + kindName(type).slice(1)} value=${fields[type]} onInput=${set(type)} />`)}
        </div>
        <p class="actions"><button type="submit" class="main" disabled=${sent.state === "loading"}>Send it</button>
          <button type="button" onClick=${() => judge(event)}>Only check it</button>
          <button type="button" onClick=${() => setFields({ ...fields, event_id: freshId() })}>New id</button></p>
        ${(sent.state === "loading" || judged.state === "loading") && html`<${Loading} what="Sending" />`}
        ${sent.state === "failed" && html`<${Problem} error=${sent.error} />`}
        ${sent.state === "ready" && judged.state === "idle" && html`<${Verdict} answer=${sent.value.answer} event=${sent.value.event} />`}
        ${judged.state === "failed" && html`<${Problem} error=${judged.error} />`}
        ${judged.state === "ready" && html`<${Judged} answer=${judged.value} />`}
      </form>
      <div><${Code} title="The same with curl" text=${curlLine(event, location.origin, hasKey)} /><${Code} title="The same in Python" text=${pythonLine(event, location.origin, hasKey)} /></div>
    </div>`;
}
