/**
 * A network under virtual time in which one neighbour is hostile: `hostile_router.ts ROUTER`.
 *
 * @module
 */

import { swim } from "@devts/routing/swim";
import {
  graph,
  seededRandom,
  VirtualNetwork,
  type VirtualNode,
} from "@devts/routing/testing";
import type { Counted, Lane, Router } from "@devts/routing";
import { collectGarbage, serve } from "../../../bench/serve.ts";
import { marked } from "../../sim/marked.ts";
import { type RouterPart, ROUTERS } from "../../sim/parts.ts";

/** Nodes besides the hostile one; ids of the same length, so that one can stand for another. */
const NODES = 5;
const HOSTILE = "node-mallory";
/** Packets of the network that are kept as samples, of each kind. */
const SAMPLES = 64;
/** Bad packets between two steps of the clock, of 1 ms. */
const BURST = 50;
/** After the attack, until all must be well again, in ms. */
const SETTLE = 240_000;
/** Broadcasts of each until all hear all, at most; and the time between two, in ms. */
const ROUNDS = 1_024;
const PAUSE = 3_000;

/** A packet as it was seen. */
interface Sample {
  readonly packet: Uint8Array;
  readonly lane: Lane;
}

const [name = ""] = Deno.args;
const part = partOf(name);
const network = new VirtualNetwork({ latency: 1, outbox: 100_000 });
const random = seededRandom(1);
const ids = Array.from({ length: NODES }, (_, at) => `node-honest${at}`);
const nodes = ids.map(add);
const samples = new Map<number, Sample[]>();

await serve({
  // Lets it run quietly, so that there is something to imitate.
  form: () => {
    add(HOSTILE);
    const kind = name === "peer" ? "mesh" : "ring";
    const links = graph(kind, [...ids, HOSTILE], random);
    for (const [a, b] of links) network.connect(a, b);
    network.tap((from, _to, packet, lane) => {
      if (from === HOSTILE) keep({ packet, lane });
    });
    network.clock.tick(5_000);
    const hostile = network.node(HOSTILE);
    for (let round = 0; round < 20; round++) {
      hostile.send("all", marked(200, round));
      for (const id of ids) hostile.send([id], marked(201, round));
      network.clock.tick(2_000);
    }
    return { kinds: samples.size, heap: heap() };
  },
  // Hands bad packets to a neighbour of the hostile node, as if they came from there.
  attack: (args) => {
    const victim = neighbour();
    let threw = 0;
    const count = args.number("count");
    for (let at = 0; at < count; at++) {
      const { packet, lane } = mutant(at);
      try {
        victim.router.receive(HOSTILE, packet, lane);
      } catch {
        threw++; // A node ends the link for that.
      }
      if (at % BURST === 0) network.clock.tick(1);
    }
    const { counters = {} }: Router & Partial<Counted> = victim.router;
    const refused = Object.values(counters).reduce((sum, one) => sum + one, 0);
    return {
      threw,
      refused,
      heap: heap(),
      nodes: Math.max(...nodes.map((node) => node.router.nodes.size)),
      members: Math.max(...nodes.map((node) => node.members.size)),
    };
  },
  // Whether the others still have each other, and reach each other once.
  settle: () => {
    network.node(HOSTILE).crash("links");
    network.clock.tick(SETTLE);
    const wrong: string[] = [];
    for (const node of nodes) {
      for (const id of ids) {
        if (id !== node.id && !node.members.has(id)) {
          wrong.push(`"${node.id}" has given up "${id}"`);
        }
      }
    }
    const rounds = untilHeard();
    if (rounds > ROUNDS) wrong.push("broadcasts are lost for good");
    return { wrong: wrong.join("; "), rounds, heap: heap() };
  },
});

/**
 * Lets all others broadcast until all hear all, once; after how many broadcasts of each.
 * Numbers that were used up in the name of one are lost to it.
 */
function untilHeard(): number {
  for (let round = 1; round <= ROUNDS; round++) {
    const before = nodes.map((node) => node.delivered.length);
    const content = (at: number) => marked(1, at, round >> 8, round & 255);
    for (const [at, node] of nodes.entries()) node.send("all", content(at));
    network.clock.tick(PAUSE);
    const isHeard = nodes.every((node, own) =>
      nodes.every((_, at) => {
        const wanted = content(at).join();
        const times = node.delivered.slice(before[own])
          .filter(({ payload }) => payload.join() === wanted).length;
        return times === (at === own ? 0 : 1);
      })
    );
    if (isHeard) return round;
  }
  return ROUNDS + 1;
}

function partOf(name: string): RouterPart {
  const part = ROUTERS[name];
  if (part === undefined) throw new TypeError(`There is no router "${name}"`);
  return part;
}

function add(id: string): VirtualNode {
  return network.add(id, {
    router: part.make(),
    membership: swim(),
  });
}

/** A neighbour of the hostile node. */
function neighbour(): VirtualNode {
  const [id = ""] = network.node(HOSTILE).neighbours;
  return network.node(id);
}

function keep(sample: Sample): void {
  const kind = (sample.packet[0] ?? 0) * 2 + (sample.lane === "data" ? 1 : 0);
  const known = samples.get(kind) ?? [];
  samples.set(kind, known);
  const copy = { ...sample, packet: sample.packet.slice() };
  if (known.length < SAMPLES) known.push(copy);
  else known[Math.floor(random() * SAMPLES)] = copy;
}

/** A packet that the hostile node might have sent, and did not. */
function mutant(at: number): Sample {
  const kinds = [...samples.values()];
  const some = kinds[Math.floor(random() * kinds.length)] ?? [];
  const { packet, lane } = some[Math.floor(random() * some.length)] ?? {
    packet: new Uint8Array(),
    lane: "data",
  };
  const copy = packet.slice();
  switch (at % 6) {
    case 0: // as it was: replayed
      break;
    case 1: // of, or about, a node that never was; another one each time
      rename(copy, `node-${String(at).padStart(7, "0")}`);
      break;
    case 2: // of, or about, another node
      rename(copy, ids[Math.floor(random() * ids.length)] ?? "");
      break;
    case 3: { // a hop count, a length or a kind of 255
      copy[Math.floor(random() * Math.min(copy.length, 16))] = 255;
      break;
    }
    case 4: { // an absurd number: an incarnation, a sequence
      const start = Math.floor(random() * copy.length);
      copy.fill(255, start + 1, start + 8);
      break;
    }
    default: // anything
      for (let times = 0; times < 4; times++) {
        copy[Math.floor(random() * copy.length)] = 256 * random();
      }
  }
  return { packet: copy, lane };
}

/** Writes another id in the place of each id of the network. */
function rename(packet: Uint8Array, id: string): void {
  const encoder = new TextEncoder();
  const text = new TextDecoder("latin1").decode(packet);
  for (const known of [HOSTILE, ...ids]) {
    for (let at = text.indexOf(known); at >= 0;) {
      packet.set(encoder.encode(id), at);
      at = text.indexOf(known, at + 1);
    }
  }
}

function heap(): number {
  collectGarbage();
  return Deno.memoryUsage().heapUsed / 1_048_576;
}
