import type { History, Operation } from "@devts/node/testing";

/** What is drawn of a run. */
export interface RunPicture {
  /** What stands above. */
  readonly title: string;
  /** What stands below the title, in smaller letters. */
  readonly note: string;
  /** The nodes, from top to bottom. */
  readonly nodes: readonly string[];
  /** What clients did and saw: reads are drawn as what a node shows until the next one. */
  readonly history: History;
  /** When the nodes above `below` were cut off from those from there on, in virtual ms. */
  readonly cut: {
    readonly from: number;
    readonly to: number;
    readonly below: number;
  };
  /** How long the run was, in virtual ms. */
  readonly length: number;
}

const WIDTH = 760;
const LEFT = 62;
const RIGHT = 24;
const TOP = 84;
const LANE = 44;
/** The height of what a node shows. */
const BAND = 14;
const GAP = 26;
const LEGEND = 66;
const SECOND = 1_000;
const TICK = 5;

const STYLE = `<style>
.run { --paper: #fff; --ink: #1f2328; --soft: #59636e; --line: #afb8c1; --one: #2f81f7; --other: #bf8700; --good: #1a7f37; --bad: #cf222e; --cut: #cf222e; font: 13px system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { .run { --paper: #0d1117; --ink: #e6edf3; --soft: #9198a1; --line: #4b535d; --one: #4493f8; --other: #d29922; --good: #3fb950; --bad: #f85149; --cut: #f85149; } }
.run .paper { fill: var(--paper); stroke: var(--line); }
.run text { fill: var(--ink); }
.run .title { font-size: 16px; font-weight: 600; }
.run .note, .run .tick { fill: var(--soft); }
.run .tick { text-anchor: middle; font-size: 11px; }
.run .one { fill: var(--one); }
.run .other { fill: var(--other); }
.run .nothing { fill: var(--line); }
.run .cut { stroke: var(--cut); stroke-width: 2; stroke-dasharray: 7 5; }
.run .edge { stroke: var(--cut); stroke-width: 1; opacity: 0.5; }
.run .ok { fill: var(--paper); stroke: var(--good); stroke-width: 2.5; }
.run .wait { fill: none; stroke: var(--good); stroke-width: 2.5; }
.run .open { stroke: var(--bad); stroke-width: 2.5; fill: none; }
</style>`;

/**
 * Draws a run in which two nodes write to one key while the cluster is cut in half: what
 * each node shows as time goes on, and which writes were acknowledged.
 */
export function runSvg(picture: RunPicture): string {
  const { title, note, nodes, length, cut } = picture;
  const height = TOP + nodes.length * LANE + GAP + 24 + LEGEND;
  const x = (ms: number): number =>
    round(LEFT + (WIDTH - LEFT - RIGHT) * Math.min(ms, length) / length);
  const y = (lane: number): number =>
    TOP + lane * LANE + (lane >= cut.below ? GAP : 0);
  const bottom = y(nodes.length);
  const border = y(cut.below) - GAP / 2;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${title}" class="run">`,
    STYLE,
    `<rect class="paper" width="${WIDTH}" height="${height}" rx="10"/>`,
    `<text class="title" x="24" y="32">${title}</text>`,
    `<text class="note" x="24" y="51">${note}</text>`,
    ...[cut.from, cut.to].map((at) =>
      `<path class="edge" d="M${x(at)} ${TOP - 10}V${bottom}"/>`
    ),
    `<path class="cut" d="M${x(cut.from)} ${border}H${x(cut.to)}"/>`,
    ...nodes.flatMap((node, lane) => laneOf(picture, node, y(lane), x)),
    ...ticks(length).map((at) =>
      `<text class="tick" x="${x(at)}" y="${bottom + 14}">${
        at / SECOND
      } s</text>`
    ),
    ...legend(bottom + 40, nodes, cut.below),
    "</svg>",
    "",
  ].join("\n");
}

function laneOf(
  { history, nodes, length, cut }: RunPicture,
  node: string,
  top: number,
  x: (ms: number) => number,
): string[] {
  const upper = new Set(nodes.slice(0, cut.below));
  const writer = new Map(
    history.filter(({ kind }) => kind === "write").map((write) =>
      [write.value, write.node] as const
    ),
  );
  const own = history.filter((one) => one.node === node && !one.isFinal);
  const reads = own.filter(({ kind }) => kind === "read");
  const middle = top + BAND / 2;
  const kindOf = ({ value }: Operation): string => {
    const from = writer.get(value);
    if (from === undefined) return "nothing";
    return upper.has(from) ? "one" : "other";
  };
  const bands: string[] = [];
  for (let at = 0; at < reads.length;) {
    const first = reads[at];
    if (first === undefined) break;
    let end = at + 1;
    while (end < reads.length && reads[end]?.value === first.value) end++;
    const from = x(first.invoked);
    const to = x(reads[end]?.invoked ?? length);
    // A gap between two values shows that there are two.
    bands.push(
      `<rect class="${kindOf(first)}" x="${from}" y="${top}" width="${
        round(Math.max(to - from - 1.5, 0.5))
      }" height="${BAND}" rx="2"/>`,
    );
    at = end;
  }
  const marks = own.filter(({ kind }) => kind === "write").map((write) =>
    markOf(write, middle + BAND + 6, x)
  );
  return [
    `<text x="24" y="${middle + 4}">${node}</text>`,
    ...bands,
    ...marks,
  ];
}

/** A write: a ring once it is acknowledged, and a line for how long that took. */
function markOf(
  { invoked, returned, outcome }: Operation,
  y: number,
  x: (ms: number) => number,
): string {
  const at = x(invoked);
  const end = x(returned ?? Infinity);
  if (outcome === "ok") {
    return `<path class="wait" d="M${at} ${
      y - 4
    }v8m0 -4H${end}"/><circle class="ok" cx="${end}" cy="${y}" r="4"/>`;
  }
  return `<path class="open" d="M${at} ${y - 4}v8m0 -4H${
    end - 4
  }m0 -4l8 8m0 -8l-8 8"/>`;
}

function ticks(length: number): number[] {
  const step = TICK * SECOND;
  return Array.from(
    { length: Math.floor(length / step) + 1 },
    (_, i) => i * step,
  );
}

function legend(
  y: number,
  nodes: readonly string[],
  below: number,
): string[] {
  const [upper, lower] = [nodes.slice(0, below), nodes.slice(below)]
    .map((part) => `${part[0]} to ${part.at(-1)}`);
  return [
    `<rect class="one" x="24" y="${y - 10}" width="22" height="12" rx="2"/>`,
    `<text x="54" y="${y}">shows a value written on ${upper}</text>`,
    `<rect class="other" x="290" y="${y - 10}" width="22" height="12" rx="2"/>`,
    `<text x="320" y="${y}">on ${lower}</text>`,
    `<path class="cut" d="M452 ${y - 4}H476"/>`,
    `<text x="484" y="${y}">nothing passes</text>`,
    `<circle class="ok" cx="35" cy="${y + 20}" r="4"/>`,
    `<text x="54" y="${y + 24}">a write, acknowledged at quorum</text>`,
    `<path class="open" d="M290 ${y + 20}H306m0 -4l8 8m0 -8l-8 8"/>`,
    `<text x="320" y="${
      y + 24
    }">a write that waited in vain: not acknowledged</text>`,
  ];
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
