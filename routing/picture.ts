/**
 * Pictures of a network: what `node.topology()`, or a simulated network, tells, as an
 * SVG. The one part of the package that needs d3-force.
 *
 * ```ts
 * import { topologySvg } from "@devts/routing/picture";
 * import type { Topology } from "@devts/routing";
 * import { assert } from "@std/assert";
 *
 * const seen = { state: "alive", isReachable: true, via: null } as const;
 * const link = { source: "told", cost: 1, state: "open" } as const;
 * const topology: Topology = {
 *   self: "ada",
 *   nodes: [
 *     { ...seen, id: "ada", state: "self" },
 *     { ...seen, id: "bob" },
 *     { ...seen, id: "cyd" },
 *   ],
 *   links: [
 *     { ...link, a: "ada", b: "bob", source: "own" },
 *     { ...link, a: "bob", b: "cyd" },
 *   ],
 * };
 *
 * const svg = topologySvg(topology, { route: ["ada", "bob", "cyd"] });
 * assert(svg.startsWith("<svg "));
 * ```
 *
 * @module
 */

import { compare, type Frame, layOut, type Point } from "./_picture_layout.ts";
import type {
  NodeState,
  Topology,
  TopologyLink,
  TopologyNode,
} from "./explain.ts";
import type { NodeId } from "./types.ts";

/** Options of {@linkcode topologySvg}. */
export interface PictureOptions {
  /**
   * What stands above the picture.
   *
   * @default {whose knowledge it is}
   */
  readonly title?: string;
  /**
   * What stands below the title, in smaller letters.
   *
   * @default {how many nodes and links there are}
   */
  readonly note?: string;
  /**
   * The way of a message, to be highlighted: the nodes on it, in order. Where two that
   * follow each other have no link, a dashed line stands for what is not known.
   *
   * @default {[]}
   */
  readonly route?: readonly NodeId[];
}

const RADIUS = 9;
const WIDTH = 760;
/** Height of the picture for its width, and what each node needs of it, in square pixels. */
const SHAPE = 0.6;
const AREA = 9_000;
/** Space at the edges: for the title, for labels, for the legend. */
const TOP = 84;
const SIDE = 74;
const LEGEND_LINE = 24;
/** A label longer than this is cut; the whole id shows where one points at the node. */
const LABEL = 14;
const CUT = 8;

/** What the states are called, in the order of the legend. */
const STATES: Readonly<Record<NodeState, string>> = {
  self: "this node",
  alive: "alive",
  suspect: "suspected: no sign of life",
  stranger: "reached, no member",
  failed: "failed",
  left: "left",
};

/**
 * Draws a topology. Nodes are laid out by forces, and the same topology gives the same
 * picture. States differ in shape and colour, and a legend names those that occur. It
 * follows the light or dark scheme of whoever looks at it.
 *
 * @param topology Links to nodes that it does not name are left out.
 * @returns An SVG document. Whatever ids and the title contain is escaped.
 */
export function topologySvg(
  topology: Topology,
  options: PictureOptions = {},
): string {
  const { route = [], title = titleOf(topology) } = options;
  const nodes = [
    ...new Map(topology.nodes.map((node) => [node.id, node])).values(),
  ].sort((one, other) => compare(one.id, other.id));
  const known = new Set(nodes.map(({ id }) => id));
  const links = topology.links.filter(({ a, b }) =>
    a !== b && known.has(a) && known.has(b)
  ).sort((one, other) => compare(one.a, other.a) || compare(one.b, other.b));
  const note = options.note ?? countsText(nodes, links);
  const behind = nodes.filter(({ via }) => via !== null && known.has(via));
  const legend = legendOf(nodes, links, behind, route);
  const frame = frameOf(nodes.length, legend.length);
  const places = layOut(
    [...known],
    [
      ...links.map(({ a, b }) => [a, b] as const),
      ...behind.map(({ id, via }) => [id, via ?? id] as const),
    ],
    frame,
    route[0] ?? topology.self,
  );
  const at = (id: NodeId): Point => places.get(id) ?? { x: 0, y: 0 };
  const steps = route.slice(1).map((to, index) =>
    [route[index] ?? to, to] as const
  ).filter(([from, to]) => known.has(from) && known.has(to));
  const { width, height } = frame;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${
      escaped(title)
    }" class="devts">`,
    STYLE,
    `<rect class="paper" width="${width}" height="${height}" rx="10"/>`,
    `<text class="title" x="24" y="32">${escaped(title)}</text>`,
    `<text class="note" x="24" y="51">${escaped(note)}</text>`,
    ...behind.map(({ id, via }) => line("behind", at(via ?? id), at(id))),
    ...links.map((link) => linkLine(link, at)),
    ...steps.map(([from, to]) => stepLine(from, to, links, at)),
    ...links.filter(isDear).map((link) => costText(link, at)),
    ...nodes.map((node) => nodeShape(node, at(node.id), route)),
    ...legendLines(legend, height),
    "</svg>",
    "",
  ].join("\n");
}

const STYLE = `<style>
.devts { --paper: #fff; --ink: #1f2328; --soft: #59636e; --line: #afb8c1; --own: #57606a; --alive: #2f81f7; --self: #1a7f37; --warn: #bf8700; --dead: #cf222e; --route: #8250df; font: 13px system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { .devts { --paper: #0d1117; --ink: #e6edf3; --soft: #9198a1; --line: #4b535d; --own: #8b949e; --alive: #4493f8; --self: #3fb950; --warn: #d29922; --dead: #f85149; --route: #b083f0; } }
.devts .paper { fill: var(--paper); stroke: var(--line); }
.devts text { fill: var(--ink); }
.devts .title { font-size: 16px; font-weight: 600; }
.devts .note, .devts .cost { fill: var(--soft); }
.devts .label, .devts .cost { text-anchor: middle; stroke: var(--paper); stroke-width: 4px; stroke-linejoin: round; paint-order: stroke; }
.devts .cost { font-size: 11px; }
.devts .label.on { font-weight: 700; }
.devts line, .devts path { fill: none; stroke-linecap: round; }
.devts .told { stroke: var(--line); stroke-width: 1.5px; }
.devts .own { stroke: var(--own); stroke-width: 2.5px; }
.devts .behind { stroke: var(--line); stroke-width: 1.5px; stroke-dasharray: 1 6; }
.devts .late { stroke: var(--warn); stroke-width: 2.5px; stroke-dasharray: 8 5; }
.devts .stuck { stroke: var(--dead); stroke-width: 2.5px; stroke-dasharray: 3 6; }
.devts .route { stroke: var(--route); stroke-width: 6px; stroke-opacity: .8; }
.devts .route.unknown { stroke-dasharray: 2 11; }
.devts .arrow { fill: var(--route); stroke: var(--paper); }
.devts circle { stroke: var(--paper); stroke-width: 2px; fill: var(--alive); }
.devts .self circle { fill: var(--self); }
.devts .self .ring { fill: none; stroke: var(--self); stroke-width: 2px; }
.devts .suspect circle { fill: var(--warn); }
.devts .stranger circle { fill: var(--paper); stroke: var(--alive); }
.devts .failed circle { fill: var(--paper); stroke: var(--dead); }
.devts .left circle { fill: var(--paper); stroke: var(--soft); }
.devts .failed path { stroke: var(--dead); stroke-width: 2px; }
.devts .left path { stroke: var(--soft); stroke-width: 2px; }
.devts .suspect text.mark { fill: var(--paper); font-weight: 700; text-anchor: middle; }
</style>`;

function titleOf({ self }: Topology): string {
  return self === null ? "The network" : `The network as "${self}" knows it`;
}

function countsText(
  nodes: readonly TopologyNode[],
  links: readonly TopologyLink[],
): string {
  return `${counted(nodes.length, "node")}, ${counted(links.length, "link")}`;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

function frameOf(nodes: number, entries: number): Frame {
  const width = Math.max(
    WIDTH,
    Math.round(Math.sqrt(nodes * AREA / SHAPE)),
  );
  const columns = columnsIn(width);
  const bottom = 56 + LEGEND_LINE * Math.ceil(entries / columns);
  const inner = nodes <= 3 ? 130 : Math.round(width * SHAPE) - TOP;
  return { width, height: TOP + inner + bottom, top: TOP, side: SIDE, bottom };
}

// -- Lines --

function line(name: string, from: Point, to: Point, inside = ""): string {
  const ends = `x1="${n(from.x)}" y1="${n(from.y)}" x2="${n(to.x)}" y2="${
    n(to.y)
  }"`;
  return inside === ""
    ? `<line class="${name}" ${ends}/>`
    : `<line class="${name}" ${ends}>${inside}</line>`;
}

function linkClass({ state, source }: TopologyLink): string {
  if (state === "open") return source;
  return state === "congested" || state === "closing" ? "late" : "stuck";
}

function linkLine(
  link: TopologyLink,
  at: (id: NodeId) => Point,
): string {
  const { a, b, cost, state } = link;
  const price = cost === null ? "" : `, cost ${cost}`;
  const what = escaped(`${a} – ${b}: ${state}${price}`);
  return line(linkClass(link), at(a), at(b), `<title>${what}</title>`);
}

function stepLine(
  from: NodeId,
  to: NodeId,
  links: readonly TopologyLink[],
  at: (id: NodeId) => Point,
): string {
  const isLinked = links.some(({ a, b }) =>
    (a === from && b === to) || (a === to && b === from)
  );
  const [start, end] = [at(from), at(to)];
  const drawn = line(isLinked ? "route" : "route unknown", start, end);
  return `${drawn}${isLinked ? arrow(start, end) : ""}`;
}

/** Points along a line, in its middle. */
function arrow(from: Point, to: Point): string {
  const turn = Math.atan2(to.y - from.y, to.x - from.x) * 180 / Math.PI;
  const place = `translate(${n((from.x + to.x) / 2)} ${
    n((from.y + to.y) / 2)
  }) rotate(${n(turn)})`;
  return `<path class="arrow" transform="${place}" d="M-7 -9L10 0L-7 9Z"/>`;
}

/** Whether a link costs something else than the most. */
function isDear({ cost }: TopologyLink): boolean {
  return cost !== null && cost !== 1;
}

function costText(
  { a, b, cost }: TopologyLink,
  at: (id: NodeId) => Point,
): string {
  const [from, to] = [at(a), at(b)];
  // A third of the way: in the middle is the arrow of a route.
  const x = from.x + (to.x - from.x) / 3;
  const y = from.y + (to.y - from.y) / 3;
  return `<text class="cost" x="${n(x)}" y="${n(y + 4)}">${cost}</text>`;
}

// -- Nodes --

function nodeShape(
  { id, state, via }: TopologyNode,
  { x, y }: Point,
  route: readonly NodeId[],
): string {
  const label = id.length > LABEL ? `${id.slice(0, CUT)}…` : id;
  const through = via === null ? "" : `, behind ${via}`;
  const on = route.includes(id) ? " on" : "";
  return [
    `<g class="${state}" transform="translate(${n(x)} ${n(y)})">`,
    `<title>${escaped(`${id}: ${STATES[state]}${through}`)}</title>`,
    symbol(state),
    `<text class="label${on}" y="${RADIUS + 17}">${escaped(label)}</text>`,
    "</g>",
  ].join("");
}

/** A shape of its own for each state: colours alone are not seen by everyone. */
function symbol(state: NodeState): string {
  const disc = `<circle r="${RADIUS}"/>`;
  switch (state) {
    case "self":
      return `${disc}<circle class="ring" r="${RADIUS + 4}"/>`;
    case "suspect":
      return `${disc}<text class="mark" y="4.5">?</text>`;
    case "failed":
      return `${disc}<path d="M-4 -4L4 4M4 -4L-4 4"/>`;
    case "left":
      return `${disc}<path d="M-4 0L4 0"/>`;
    case "alive":
    case "stranger":
      return disc;
  }
}

// -- Legend --

interface Entry {
  readonly drawn: string;
  readonly text: string;
}

function legendOf(
  nodes: readonly TopologyNode[],
  links: readonly TopologyLink[],
  behind: readonly TopologyNode[],
  route: readonly NodeId[],
): Entry[] {
  const states = new Set<string>(nodes.map(({ state }) => state));
  const classes = new Set(links.map(linkClass));
  const hasOwn = classes.has("own");
  const sample = (name: string): string =>
    line(name, { x: -14, y: 0 }, { x: 14, y: 0 });
  const lines: readonly (readonly [boolean, string, string])[] = [
    [hasOwn, "own", "its own link"],
    [classes.has("told"), "told", hasOwn ? "link of others" : "link"],
    [classes.has("late"), "late", "link that is behind"],
    [classes.has("stuck"), "stuck", "link that takes nothing"],
    [behind.length > 0, "behind", "behind that neighbour"],
    [route.length > 1, "route", "way of the message"],
  ];
  const dear = links.find(isDear);
  return [
    ...Object.entries(STATES).filter(([state]) => states.has(state)).map((
      [state, text],
    ) => ({ drawn: stateSample(state), text })),
    ...lines.filter(([isShown]) => isShown).map(([, name, text]) => ({
      drawn: sample(name),
      text,
    })),
    ...dear === undefined ? [] : [{
      drawn: `<text class="cost" y="4">${dear.cost}</text>`,
      text: "cost of a link, where not 1",
    }],
  ];
}

function stateSample(state: string): string {
  return isState(state) ? `<g class="${state}">${symbol(state)}</g>` : "";
}

function isState(state: string): state is NodeState {
  return Object.hasOwn(STATES, state);
}

function columnsIn(width: number): number {
  return Math.floor((width - 48) / 236);
}

function legendLines(entries: readonly Entry[], height: number): string[] {
  const columns = columnsIn(WIDTH);
  const rows = Math.ceil(entries.length / columns);
  return entries.map(({ drawn, text }, index) => {
    const x = 24 + 236 * (index % columns);
    const row = Math.floor(index / columns);
    const y = height - 14 - LEGEND_LINE * (rows - row - 0.5);
    return `<g transform="translate(${x + 16} ${
      n(y)
    })">${drawn}<text x="24" y="4.5">${text}</text></g>`;
  });
}

// -- Text --

function n(value: number): string {
  return String(Math.round(value * 10) / 10);
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Text for XML: markup is escaped, and what XML does not allow is replaced. */
function escaped(text: string): string {
  return text.toWellFormed()
    // deno-lint-ignore no-control-regex -- XML 1.0 has no way to write them
    .replace(/[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/g, "\ufffd")
    .replace(/[&<>"']/g, (character) => ENTITIES[character] ?? "");
}
