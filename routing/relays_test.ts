import { assert, assertEquals } from "@std/assert";
import { gossipRouter } from "./gossip.ts";
import { hopRouter } from "./hop.ts";
import { pathRouter } from "./path.ts";
import {
  graph,
  type GraphKind,
  seededRandom,
  VirtualNetwork,
} from "./testing.ts";
import type { NodeId, RouterFactory } from "./types.ts";

/** A router that relays, and what a broadcast costs with so many nodes and links. */
interface Relaying {
  readonly name: string;
  readonly make: () => RouterFactory;
  readonly cost: (nodes: number, links: number) => number;
}

const ROUTERS: readonly Relaying[] = [
  { name: "hopRouter", make: () => hopRouter(), cost: flood },
  { name: "pathRouter", make: () => pathRouter(), cost: flood },
  { name: "gossipRouter", make: () => gossipRouter(), cost: flood },
];
const KINDS: readonly GraphKind[] = [
  "ring",
  "star",
  "mesh",
  "tree",
  "degree5",
  "random",
];
const GRAPHS = 1000;

function flood(nodes: number, links: number): number {
  return 2 * links - (nodes - 1);
}

for (const { name, make, cost } of ROUTERS) {
  Deno.test(`${name}() reaches everyone once on ${GRAPHS} graphs, at its cost`, () => {
    for (let seed = 1; seed <= GRAPHS; seed++) {
      const random = seededRandom(seed);
      const kind = KINDS[seed % KINDS.length] ?? "ring";
      const ids = idsOf(3 + Math.floor(random() * 22));
      const links = graph(kind, ids, random);
      const network = networkOf(seed, make(), ids, links);
      let packets = 0;
      network.tap((_from, _to, _packet, lane) => {
        if (lane === "data") packets++;
      });
      for (let i = 0; i < 3; i++) {
        const origin = ids[Math.floor(random() * ids.length)] ?? "";
        network.node(origin).send("all", new Uint8Array([i]));
      }
      network.clock.tick(2000);
      const at = `seed ${seed}: ${kind} of ${ids.length}`;
      const delivered = network.nodes.map((node) => node.delivered.length);
      const expected = 3 * (ids.length - 1);
      assertEquals(delivered.reduce((sum, n) => sum + n), expected, at);
      for (const node of network.nodes) {
        const seen = new Set(node.delivered.map(({ payload }) => payload[0]));
        assertEquals(seen.size, node.delivered.length, at);
      }
      const most = 3 * cost(ids.length, links.length);
      assert(packets <= most, `${at}: ${packets} packets of ${most}`);
    }
  });

  Deno.test(`${name}() reaches each from each on 100 graphs`, () => {
    for (let seed = 1; seed <= 100; seed++) {
      const random = seededRandom(seed);
      const kind = KINDS[seed % KINDS.length] ?? "ring";
      const ids = idsOf(3 + Math.floor(random() * 12));
      const links = graph(kind, ids, random);
      const network = networkOf(seed, make(), ids, links);
      for (const from of ids) {
        const others = ids.filter((id) => id !== from);
        assertEquals(
          network.node(from).send(others, new Uint8Array([7])),
          others.length,
        );
      }
      network.clock.tick(20_000);
      for (const { id, delivered, undelivered } of network.nodes) {
        assertEquals(
          delivered.map(({ from }) => from).sort(),
          ids.filter((other) => other !== id).sort(),
          `seed ${seed}: ${kind}`,
        );
        assertEquals(undelivered, []);
      }
    }
  });
}

for (const { name, make } of ROUTERS) {
  Deno.test(`${name}() loses nothing in silence while links come and go`, () => {
    for (let seed = 1; seed <= 100; seed++) {
      const random = seededRandom(seed);
      const ids = idsOf(4 + Math.floor(random() * 8));
      const kind = KINDS[seed % KINDS.length] ?? "ring";
      const links = graph(kind, ids, random);
      const network = networkOf(seed, make(), ids, links);
      const traffic = new Traffic(network, ids, random);
      for (let i = 0; i < 400; i++) {
        const [a, b] = links[Math.floor(random() * links.length)] ?? ["", ""];
        const fate = random();
        if (fate < 0.03) network.cut(a, b, "links");
        else if (fate < 0.05) network.cut(a, b, "silence");
        else if (fate < 0.1) {
          network.heal(a, b);
          network.connect(a, b);
        }
        traffic.send();
        network.clock.tick(random() * 50);
      }
      network.healAll();
      for (const [a, b] of links) network.connect(a, b);
      network.clock.tick(30_000);
      traffic.check(`seed ${seed}: ${kind}`);
    }
  });
}

/** What nodes send to each other, and what has to become of it. */
class Traffic {
  readonly #network: VirtualNetwork;
  readonly #ids: readonly NodeId[];
  readonly #random: () => number;
  /** By sender and payload: the target of a unicast. */
  readonly #unicasts = new Map<string, NodeId>();
  #sent = 0;

  constructor(
    network: VirtualNetwork,
    ids: readonly NodeId[],
    random: () => number,
  ) {
    this.#network = network;
    this.#ids = ids;
    this.#random = random;
  }

  /** Sends the next number from a node to one or all. */
  send(): void {
    const from = this.#pick();
    const number = `${this.#sent++}`;
    const payload = new TextEncoder().encode(number);
    const to = this.#pick();
    const { router } = this.#network.node(from);
    if (to === from) router.send("all", payload);
    else if (router.nodes.has(to) && router.send([to], payload) === 1) {
      this.#unicasts.set(`${from} ${number}`, to);
    }
  }

  check(at: string): void {
    const ended = new Set<string>();
    for (const node of this.#network.nodes) {
      const last = new Map<NodeId, number>();
      for (const { from, payload } of node.delivered) {
        const number = Number(new TextDecoder().decode(payload));
        const before = last.get(from) ?? -1;
        assert(number > before, `${at}: ${number} of ${from} after ${before}`);
        last.set(from, number);
        ended.add(`${from} ${number}`);
      }
      for (const { to, head, lastHop } of node.undelivered) {
        const key = `${node.id} ${new TextDecoder().decode(head)}`;
        assertEquals(this.#unicasts.get(key), to, at);
        assert(this.#ids.includes(lastHop));
        ended.add(key);
      }
    }
    for (const [key, to] of this.#unicasts) {
      assert(ended.has(key), `${at}: ${key} to ${to} was lost in silence`);
    }
  }

  #pick(): NodeId {
    return this.#ids[Math.floor(this.#random() * this.#ids.length)] ?? "";
  }
}

function idsOf(count: number): NodeId[] {
  return Array.from({ length: count }, (_, i) => `n${i}`);
}

/** Linked nodes that know ways to each other. */
function networkOf(
  seed: number,
  router: RouterFactory,
  ids: readonly NodeId[],
  links: readonly (readonly [NodeId, NodeId])[],
): VirtualNetwork {
  const network = new VirtualNetwork({ seed, jitter: 5, outbox: 100_000 });
  for (const id of ids) network.add(id, { router });
  for (const [a, b] of links) network.connect(a, b);
  network.clock.tick(2000);
  for (const node of network.nodes) {
    assertEquals(node.router.nodes.size, ids.length - 1, `seed ${seed}`);
  }
  return network;
}
