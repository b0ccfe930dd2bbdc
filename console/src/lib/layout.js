// Places the nodes of an identity graph. Everything is computed at once: nothing moves on the page.
import { forceCollide, forceLink, forceManyBody, forceSimulation, forceX, forceY } from "d3-force";

const ROUNDS = 260;
const LENGTH = { arrived: 70, shown_by: 46, merged: 130, chain: 60 };
const ROOM = { profile: 46, identifier: 38, event: 14, contact: 14, manual: 14 };

// What is drawn of a graph: all profiles and identifiers; of what showed them only what ties several together or is lit, since the rest says nothing.
export function worthDrawing(graph, lit, most) {
  const ties = new Map();
  for (const edge of graph.edges) if (edge.kind === "shown_by") ties.set(edge.to, (ties.get(edge.to) ?? 0) + 1);
  const shown = graph.nodes.filter((node) => node.kind === "profile" || node.kind === "identifier" || lit.nodes.has(node.id) || ties.get(node.id) > 1);
  const order = (node) => (lit.nodes.has(node.id) ? 0 : { profile: 1, identifier: 2 }[node.kind] ?? 3);
  const nodes = [...shown].sort((a, b) => order(a) - order(b)).slice(0, most);
  const here = new Set(nodes.map((node) => node.id));
  const edges = graph.edges.filter((edge) => here.has(edge.from) && here.has(edge.to));
  return { nodes, edges, left: shown.length - nodes.length };
}

// {places: Map of id to {x, y}, box: [x, y, width, height]}. The same graph is always drawn in the same way.
export function placeNodes({ nodes, edges }, extra) {
  const points = nodes.map((node, index) => ({
    id: node.id, kind: node.kind, x: 60 * Math.sqrt(index + 0.5) * Math.cos(2.4 * index), y: 60 * Math.sqrt(index + 0.5) * Math.sin(2.4 * index),
  }));
  const links = [...edges, ...extra].map((edge) => ({ source: edge.from, target: edge.to, kind: edge.kind }));
  forceSimulation(points)
    .force("links", forceLink(links).id((point) => point.id).distance((one) => LENGTH[one.kind] ?? 60).strength(0.7))
    .force("apart", forceManyBody().strength(-320).distanceMax(420))
    .force("room", forceCollide((point) => ROOM[point.kind] ?? 20))
    .force("x", forceX(0).strength(0.05))
    .force("y", forceY(0).strength(0.09))
    .stop()
    .tick(ROUNDS);
  const xs = points.map((point) => point.x);
  const ys = points.map((point) => point.y);
  const [left, top] = [Math.min(...xs) - 95, Math.min(...ys) - 50];
  return {
    places: new Map(points.map((point) => [point.id, point])),
    box: [left, top, Math.max(...xs) + 95 - left, Math.max(...ys) + 56 - top],
  };
}

// The node next to another one in the direction of an arrow key, or null.
export function nextNode(places, from, key) {
  const turn = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[key];
  const start = places.get(from);
  if (!turn || !start) return null;
  let best = null;
  let least = Infinity;
  for (const [id, point] of places) {
    const [x, y] = [point.x - start.x, point.y - start.y];
    const ahead = x * turn[0] + y * turn[1];
    const aside = Math.abs(x * turn[1] + y * turn[0]);
    if (id === from || ahead <= 1) continue;
    const cost = ahead + 2.5 * aside;
    if (cost < least) [best, least] = [id, cost];
  }
  return best;
}
