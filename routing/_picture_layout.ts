// @ts-types="npm:@types/d3-force@3.0.10"
import {
  type Force,
  forceCollide,
  forceLink,
  forceManyBody,
  forceX,
  forceY,
  type SimulationLinkDatum,
  type SimulationNodeDatum,
} from "d3-force";
import { seededRandom } from "./_random.ts";
import type { NodeId } from "./types.ts";

/** Where something is. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

/** The space that a picture has, in pixels, and what stays free at its edges. */
export interface Frame {
  readonly width: number;
  readonly height: number;
  readonly top: number;
  readonly side: number;
  readonly bottom: number;
}

interface Body extends SimulationNodeDatum {
  readonly id: NodeId;
  x: number;
  y: number;
  vx: number;
  vy: number;
}

/** Steps of the forces, after which hardly anything moves. */
const STEPS = 300;
/** What is left of the forces after the last step, and of a speed after each. */
const COOL = 0.001;
const DRAG = 0.6;
/** How far apart linked nodes want to be, and how much room each needs. */
const DISTANCE = 80;
const ROOM = 36;
const REPULSION = -700;
const GRAVITY = 0.01;
/** From when on nodes do not get past each other. */
const UNTANGLED = 0.1;
/** How much room a node needs beside a link that is not its own, in pixels. */
const CLEAR = 26;
/** A link that passes behind a node misleads more than so many that cross. */
const HIDDEN = 4;
/** Arrangements that are tried; a larger network, where that takes long, has one. */
const TRIES = 16;
const SMALL = 2_000;
/** What stands below a node, and has to be free of others, in pixels. */
const ROW = 56;
/** How far a small network is spread at most. */
const MOST_SPREAD = 1.7;

/**
 * Places nodes by forces (d3-force): linked ones attract each other, all repel each
 * other; of several arrangements it takes the one in which the fewest links cross.
 * Nodes without links stand in rows below. The same nodes and links, in any order, come
 * out the same: no clock, and randomness that repeats.
 *
 * @param first Stands on the left: people read from there.
 */
export function layOut(
  ids: readonly NodeId[],
  links: readonly (readonly [NodeId, NodeId])[],
  frame: Frame,
  first: NodeId | null,
): ReadonlyMap<NodeId, Point> {
  const linked = new Set(links.flat());
  const sorted = [...ids].sort(compare);
  const alone = sorted.filter((id) => !linked.has(id));
  const pairs = [...links].sort((one, other) =>
    compare(one.join(" "), other.join(" "))
  );
  const { rows, height } = inRows(alone, frame);
  const most = linked.size * links.length > SMALL ? 1 : TRIES;
  let best: Map<NodeId, Point> = new Map();
  let fewest = Infinity;
  for (let seed = 1; seed <= most && fewest > 0; seed++) {
    const bodies = scattered(
      sorted.filter((id) => linked.has(id)),
      pairs,
      seed,
    );
    relax(bodies, pairs, seed);
    layDown(bodies);
    const places = fit(bodies, { ...frame, bottom: frame.bottom + height });
    const faults = most === 1 ? 0 : faultsOf(pairs, places);
    if (faults >= fewest) continue;
    fewest = faults;
    best = places;
  }
  const isMirrored = (best.get(first ?? "")?.x ?? 0) > frame.width / 2;
  if (isMirrored) {
    for (const [id, { x, y }] of best) best.set(id, { x: frame.width - x, y });
  }
  return new Map([...best, ...rows]);
}

/** Nodes without links, in rows at the bottom, and how high these are. */
function inRows(
  ids: readonly NodeId[],
  { width, height, side, bottom }: Frame,
): { readonly rows: Map<NodeId, Point>; readonly height: number } {
  const columns = Math.max(1, Math.floor((width - 2 * side) / (2 * ROW)));
  const count = Math.ceil(ids.length / columns);
  const rows = new Map(ids.map((id, at): [NodeId, Point] => [id, {
    x: side + 2 * ROW * (at % columns),
    y: height - bottom - ROW * (count - 1 - Math.floor(at / columns)),
  }]));
  return { rows, height: ROW * count };
}

/**
 * Where nodes begin: by how many links they are from the two ends of the network (across)
 * and from the node that is far from both (down), and a bit beside it at random.
 */
function scattered(
  ids: readonly NodeId[],
  links: readonly (readonly [NodeId, NodeId])[],
  seed: number,
): Body[] {
  const random = seededRandom(seed);
  const ways = waysOf(links);
  const one = farthest(distances(ids[0] ?? "", ways));
  const fromOne = distances(one, ways);
  const fromOther = distances(farthest(fromOne), ways);
  const least = new Map(
    [...fromOne].map((
      [id, far],
    ) => [id, Math.min(far, fromOther.get(id) ?? 0)]),
  );
  const fromThird = distances(farthest(least), ways);
  const noise = (): number => random() - 0.5;
  return ids.map((id) => {
    const across = (fromOne.get(id) ?? 0) - (fromOther.get(id) ?? 0);
    const down = fromThird.get(id) ?? 0;
    return {
      id,
      x: DISTANCE * (across / 2 + noise()),
      y: DISTANCE * (down + noise()),
      vx: 0,
      vy: 0,
    };
  });
}

function waysOf(
  links: readonly (readonly [NodeId, NodeId])[],
): ReadonlyMap<NodeId, readonly NodeId[]> {
  const ways = new Map<NodeId, NodeId[]>();
  for (const [a, b] of links) {
    for (const [from, to] of [[a, b], [b, a]] as const) {
      const known = ways.get(from);
      if (known === undefined) ways.set(from, [to]);
      else known.push(to);
    }
  }
  return ways;
}

/** How many links nodes are from one of them, the nearest first. */
function distances(
  from: NodeId,
  ways: ReadonlyMap<NodeId, readonly NodeId[]>,
): Map<NodeId, number> {
  const found = new Map([[from, 0]]);
  for (const [id, far] of found) {
    for (const next of ways.get(id) ?? []) {
      if (!found.has(next)) found.set(next, far + 1);
    }
  }
  return found;
}

function farthest(from: ReadonlyMap<NodeId, number>): NodeId {
  let best: readonly [NodeId, number] = ["", -1];
  for (const one of from) if (one[1] > best[1]) best = one;
  return best[0];
}

/** How many links cross each other, or a node that is not at their ends. */
function faultsOf(
  links: readonly (readonly [NodeId, NodeId])[],
  places: ReadonlyMap<NodeId, Point>,
): number {
  let count = 0;
  for (const [a, b] of links) {
    const [from, to] = [places.get(a), places.get(b)];
    for (const [id, place] of places) {
      if (id === a || id === b || !from || !to) continue;
      if (distanceTo(place, from, to) < CLEAR) count += HIDDEN;
    }
  }
  for (const [at, [a, b]] of links.entries()) {
    for (const [c, d] of links.slice(at + 1)) {
      if (a === c || a === d || b === c || b === d) continue;
      const [p, q, r, s] = [a, b, c, d].map((id) => places.get(id));
      if (p && q && r && s && isCrossing(p, q, r, s)) count++;
    }
  }
  return count;
}

function isCrossing(p: Point, q: Point, r: Point, s: Point): boolean {
  return isLeft(p, q, r) !== isLeft(p, q, s) &&
    isLeft(r, s, p) !== isLeft(r, s, q);
}

/** How far a point is from a line between two others. */
function distanceTo(point: Point, from: Point, to: Point): number {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const along = ((point.x - from.x) * dx + (point.y - from.y) * dy) /
    (dx * dx + dy * dy || 1);
  const part = Math.max(0, Math.min(1, along));
  return Math.hypot(
    point.x - from.x - part * dx,
    point.y - from.y - part * dy,
  );
}

function isLeft(from: Point, to: Point, { x, y }: Point): boolean {
  return (to.x - from.x) * (y - from.y) > (to.y - from.y) * (x - from.x);
}

/** What `forceSimulation` does, without its timer. Nodes get their room once untangled. */
function relax(
  bodies: Body[],
  links: readonly (readonly [NodeId, NodeId])[],
  seed: number,
): void {
  const random = seededRandom(seed);
  const pairs = links.map(([source, target]) => ({ source, target }));
  const reach = DISTANCE * Math.sqrt(bodies.length) * 4;
  const forces: readonly Force<Body, SimulationLinkDatum<Body>>[] = [
    forceLink<Body, SimulationLinkDatum<Body>>(pairs)
      .id(({ id }) => id).distance(DISTANCE),
    forceManyBody<Body>().strength(REPULSION).distanceMax(reach),
    forceX<Body>(0).strength(GRAVITY),
    forceY<Body>(0).strength(GRAVITY),
  ];
  const room = forceCollide<Body>(ROOM);
  for (const force of [...forces, room]) force.initialize?.(bodies, random);
  const keep = COOL ** (1 / STEPS);
  for (let alpha = 1; alpha > COOL; alpha *= keep) {
    for (const force of forces) force(alpha);
    if (alpha < UNTANGLED) room(alpha);
    for (const body of bodies) {
      body.x += body.vx *= DRAG;
      body.y += body.vy *= DRAG;
    }
  }
}

/** Turns all so that they are as wide as may be: pictures are wider than high. */
function layDown(bodies: Body[]): void {
  const x = spanOf(bodies.map((body) => body.x)).middle;
  const y = spanOf(bodies.map((body) => body.y)).middle;
  let [xx, yy, xy] = [0, 0, 0];
  for (const body of bodies) {
    xx += (body.x - x) ** 2;
    yy += (body.y - y) ** 2;
    xy += (body.x - x) * (body.y - y);
  }
  const angle = Math.atan2(2 * xy, xx - yy) / 2;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  for (const body of bodies) {
    [body.x, body.y] = [
      cos * body.x + sin * body.y,
      cos * body.y - sin * body.x,
    ];
  }
}

/** Moves all to the middle of the frame, as large as there is room. */
function fit(
  bodies: readonly Body[],
  { width, height, top, side, bottom }: Frame,
): Map<NodeId, Point> {
  const xs = spanOf(bodies.map(({ x }) => x));
  const ys = spanOf(bodies.map(({ y }) => y));
  const scale = Math.min(
    MOST_SPREAD,
    (width - 2 * side) / Math.max(1, xs.length),
    (height - top - bottom) / Math.max(1, ys.length),
  );
  const middle = top + (height - top - bottom) / 2;
  return new Map(bodies.map(({ id, x, y }) => [id, {
    x: width / 2 + scale * (x - xs.middle),
    y: middle + scale * (y - ys.middle),
  }]));
}

function spanOf(values: readonly number[]): { middle: number; length: number } {
  const least = values.reduce((a, b) => Math.min(a, b), Infinity);
  const most = values.reduce((a, b) => Math.max(a, b), -Infinity);
  if (least > most) return { middle: 0, length: 0 };
  return { middle: (least + most) / 2, length: most - least };
}

/** Which of two names comes first. */
export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
