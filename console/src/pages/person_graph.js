// Why these identifiers are one person: the graph, and the chain of evidence between two of them, lit up and in words.
import { useMemo } from "preact/hooks";
import { html } from "../lib/html.js";
import { get, pathOf } from "../lib/api.js";
import { useAsk } from "../lib/ask.js";
import { worthDrawing } from "../lib/layout.js";
import { go, link } from "../lib/route.js";
import { causeName, kindName, moment, nodeName, plural, readNode, ruleName } from "../lib/words.js";
import { Drawing } from "../parts/drawing.js";
import { Choice } from "../parts/fields.js";
import { Answer, Empty } from "../parts/states.js";
import { Table } from "../parts/table.js";

const MOST = 300; // nodes that are drawn
const NOTHING = { nodes: new Set(), edges: [] };

// The nodes and edges of a chain. A step goes through what showed it; of a merge by hand the profiles themselves are the ends.
function lightUp(explanation, graph) {
  const here = new Set(graph.nodes.map((node) => node.id));
  const nodes = new Set();
  const edges = [];
  explanation.chain.forEach((step, index) => {
    const weakest = index === explanation.weakest_link;
    const seen = `${step.cause}:${step.ref}`;
    const way = here.has(seen) && step.cause !== "manual" ? [step.from, seen, step.to] : [step.from, step.to];
    for (const id of way) if (here.has(id)) nodes.add(id);
    for (let n = 1; n < way.length; n += 1) if (here.has(way[n - 1]) && here.has(way[n])) edges.push({ from: way[n - 1], to: way[n], kind: "chain", weakest });
  });
  return { nodes, edges };
}

function Step({ step, weakest }) {
  return html`<li class=${weakest ? "weakest" : ""}>
    <p><b>${nodeName(step.from)}</b> and <b>${nodeName(step.to)}</b> ${ruleName(step.rule)}.${weakest && html` <span class="tag bad">weakest link</span>`}</p>
    <p class="quiet">${moment(step.at)}, ${causeName(step.cause)}${step.source && ` of ${step.source}`}${step.cause === "event" && html`: <a href=${link(["events", step.ref])}>${step.ref}</a>`}</p>
  </li>`;
}

function Chain({ explanation, from, to, person }) {
  const { chain, objections } = explanation;
  if (!explanation.same_person) {
    return html`<p>These are not one person.</p><ul>${objections.map((one) => html`<li>${one.message}${one.times > 0 && ` (${plural(one.times, "time")}, last ${moment(one.at)})`}</li>`)}</ul>`;
  }
  if (chain.length === 0) return html`<p>${nodeName(from)} and ${nodeName(to)} are the same value.</p>`;
  const merge = chain.some((step) => step.merge_id);
  return html`<p><b>${nodeName(from)}</b> and <b>${nodeName(to)}</b> are one person by ${plural(chain.length, "link")}:</p>
    <ol class="chain">${chain.map((step, index) => html`<${Step} step=${step} weakest=${index === explanation.weakest_link && chain.length > 1} />`)}</ol>
    ${merge && html`<p>Is that wrong? A merge on this chain <a href=${link(["people", person.internal_user_id, "merges"])}>can be taken back</a>.</p>`}`;
}

const NODES = [
  { name: "Kind", of: (node) => (node.kind === "identifier" ? `${node.strength} identifier` : node.kind) },
  { name: "Label", wide: true, of: (node) => node.label },
  { name: "Tied to", wide: true, of: (node) => node.ties },
  { name: "First seen", of: (node) => moment(node.at) },
];

function listed(graph) {
  const labels = new Map(graph.nodes.map((node) => [node.id, node.label]));
  const ties = new Map();
  const tie = (id, other) => ties.set(id, [...(ties.get(id) ?? []), labels.get(other)]);
  for (const edge of graph.edges) {
    tie(edge.from, edge.to);
    tie(edge.to, edge.from);
  }
  return graph.nodes.map((node) => ({ ...node, ties: (ties.get(node.id) ?? []).slice(0, 8).join(", ") }));
}

function Picture({ graph, explanation, person, from, to, pick }) {
  const lit = useMemo(() => (explanation?.same_person ? lightUp(explanation, graph) : NOTHING), [explanation, graph]);
  const drawn = useMemo(() => worthDrawing(graph, lit, MOST), [graph, lit]);
  const rows = useMemo(() => listed(graph), [graph]);
  return html`<${Drawing} graph=${drawn} lit=${lit} chosen=${new Set([from, to])} choose=${pick} label=${`Identity graph of ${person.internal_user_id}`} />
    ${drawn.left > 0 && html`<p class="quiet">${plural(drawn.left, "node")} more are not drawn; the table has all.</p>`}
    <details><summary>Show as table</summary><${Table} label="Nodes of the graph" columns=${NODES} rows=${rows.slice(0, 500)} keyOf=${(node) => node.id} /></details>`;
}

export function Graph({ person, query }) {
  const id = person.internal_user_id;
  const graph = useAsk((signal) => get(`${pathOf("users", id)}/graph`, {}, signal), [id, person]);
  const ends = (graph.value?.nodes ?? []).filter((node) => node.kind === "identifier" || node.kind === "profile");
  const strong = ends.filter((node) => node.strength === "strong").map((node) => node.id);
  const from = query.from ?? strong[0] ?? "";
  const to = query.to ?? strong.filter((one) => one !== from).at(-1) ?? "";
  const explanation = useAsk(from && to && from !== to ? (signal) => get("/debug/explain", { from, to }, signal) : null, [from, to, person]);
  const set = (changed) => go(["people", id, "graph"], { from, to, ...changed }, { replace: true });
  // The one that was chosen longer ago gives way.
  const pick = (node) => (node.kind === "identifier" || node.kind === "profile") && node.id !== to && set({ from: to || from, to: node.id });
  const options = ends.map((node) => [node.id, node.kind === "profile" ? node.label : `${kindName(readNode(node.id).type)} ${node.label}`]);
  return html`<${Answer} of=${graph} what="Reading the graph">${(value) => html`
    <div class="form ends"><${Choice} label="Why is" value=${from} options=${options} onChange=${(one) => set({ from: one })} />
      <${Choice} label="the same person as" value=${to} options=${options} onChange=${(one) => set({ to: one })} /></div>
    <div class="halves graph"><section class="card" aria-labelledby="drawn"><h2 id="drawn">The identity graph</h2>
      <p class="quiet">Choose two nodes: the chain of evidence between them is lit.</p>
      <${Picture} graph=${value} explanation=${explanation.value} person=${person} from=${from} to=${to} pick=${pick} /></section>
    <section class="card" aria-labelledby="chain" aria-live="polite"><h2 id="chain">The chain of evidence</h2>
      ${from && to && from !== to
        ? html`<${Answer} of=${explanation} what="Following the evidence">${(found) => html`<${Chain} explanation=${found} from=${from} to=${to} person=${person} />`}</${Answer}>`
        : html`<${Empty}>There is nothing to explain: choose two different identifiers.</${Empty}>`}</section></div>`}</${Answer}>`;
}
