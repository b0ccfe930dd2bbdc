// The identity graph as SVG. One node is in the tab order; arrow keys go to its neighbours, Enter chooses.
import { useMemo, useRef, useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { nextNode, placeNodes } from "../lib/layout.js";
import { causeName, kindName, readNode } from "../lib/words.js";

const LONGEST = 22; // characters of a label
const SIZES = [1, 1.5, 2.2, 3.2];
const LARGEST = 1.3; // times the size at which labels have that of small text: a graph of few nodes is not blown up

const short = (text) => (text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text);

function words(node, lit) {
  const kind = node.kind === "identifier" ? kindName(readNode(node.id).type) : node.kind === "profile" ? "profile" : causeName(node.kind);
  return `${kind} ${node.label}${lit ? ", on the chain" : ""}`;
}

function Shape({ node }) {
  if (node.kind === "profile") return html`<rect x="-15" y="-15" width="30" height="30" rx="6" />`;
  if (node.kind === "identifier") return html`<circle r=${node.strength === "strong" ? 12 : 9} />`;
  return html`<rect x="-5.5" y="-5.5" width="11" height="11" transform="rotate(45)" />`;
}

function Node({ node, place, lit, chosen, current, act }) {
  return html`<g class=${`node ${node.kind} ${node.strength} ${lit ? "lit" : ""} ${chosen ? "chosen" : ""}`} transform=${`translate(${place.x} ${place.y})`}
    role="button" aria-pressed=${chosen} aria-label=${words(node, lit)} tabindex=${current ? 0 : -1} data-node=${node.id}
    onClick=${() => act.choose(node)} onFocus=${() => act.focus(node.id)}>
    <title>${words(node, lit)}</title>
    <circle class="halo" r="22" />
    <${Shape} node=${node} />
  </g>`;
}

const Label = ({ node, place, lit }) => html`<text class=${lit ? "lit" : ""} x=${place.x} y=${place.y + (node.kind === "profile" ? 32 : 30)}>${short(node.label)}</text>`;

function line(places, edge, kind) {
  const [from, to] = [places.get(edge.from), places.get(edge.to)];
  return from && to && html`<line key=${`${edge.from} ${edge.to} ${edge.kind}`} class=${`edge ${kind}`} x1=${from.x} y1=${from.y} x2=${to.x} y2=${to.y} />`;
}

// graph: {nodes, edges}. lit: {nodes: Set, edges: [{from, to, kind, weakest}]}, drawn above the others. chosen: Set of ids. choose(node).
export function Drawing({ graph, lit, chosen, choose, label }) {
  const svg = useRef();
  const [size, setSize] = useState(0);
  const [at, setAt] = useState(null);
  const { places, box } = useMemo(() => placeNodes(graph, lit.edges), [graph, lit]);
  const current = at !== null && places.has(at) ? at : graph.nodes[0]?.id;
  const onKeyDown = (event) => {
    const node = graph.nodes.find((one) => one.id === current);
    if (event.key === "Enter" || event.key === " ") choose(node);
    const next = nextNode(places, current, event.key);
    if (next === null && event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    if (next !== null) [...svg.current.querySelectorAll("[data-node]")].find((one) => one.dataset.node === next)?.focus();
  };
  return html`<div class="drawing">
    <p class="actions"><button type="button" disabled=${size === 0} onClick=${() => setSize(size - 1)}>Smaller</button>
      <button type="button" disabled=${size === SIZES.length - 1} onClick=${() => setSize(size + 1)}>Larger</button></p>
    <div class="canvas" tabindex="0" role="region" aria-label=${`${label}, can be scrolled`}>
      <svg ref=${svg} viewBox=${box.join(" ")} role="group" aria-label=${label} style=${size === 0 ? { width: "100%", maxWidth: `${LARGEST * box[2]}px`, maxHeight: "min(34rem, 70vh)" } : { width: `${100 * SIZES[size]}%` }} onKeyDown=${onKeyDown}>
        ${graph.edges.map((edge) => line(places, edge, edge.kind))}
        ${lit.edges.map((edge) => line(places, edge, `lit ${edge.weakest ? "weakest" : ""}`))}
        ${graph.nodes.map((node) => html`<${Node} key=${node.id} node=${node} place=${places.get(node.id)} lit=${lit.nodes.has(node.id)}
          chosen=${chosen.has(node.id)} current=${node.id === current} act=${{ choose, focus: setAt }} />`)}
        <g class="labels" aria-hidden="true">${graph.nodes.filter((node) => node.kind === "profile" || node.kind === "identifier")
          .map((node) => html`<${Label} key=${node.id} node=${node} place=${places.get(node.id)} lit=${lit.nodes.has(node.id)} />`)}</g>
      </svg>
    </div>
    <ul class="legend key"><li><i class="mark profile"></i>profile</li><li><i class="mark strong"></i>strong identifier</li><li><i class="mark weak"></i>weak identifier</li>
      <li><i class="mark event"></i>event or request that ties several</li><li><i class="mark chain"></i>chain</li><li><i class="mark weakest"></i>weakest link</li></ul>
  </div>`;
}
