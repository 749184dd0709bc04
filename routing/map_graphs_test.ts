import { assert, assertEquals } from "@std/assert";
import { graph, type GraphKind } from "./_graphs.ts";
import {
  BROADCAST,
  CARRY,
  kindOf,
  LETTER,
  readRouted,
} from "./_map_packets.ts";
import { mapRouter } from "./map.ts";
import { seededRandom, VirtualNetwork } from "./testing.ts";
import type { NodeId } from "./types.ts";

const KINDS: readonly GraphKind[] = [
  "ring",
  "star",
  "mesh",
  "tree",
  "degree5",
];
const GRAPHS = 200;

/** A network of a random size, settled, and what is handed to its links from then on. */
function settled(kind: GraphKind, seed: number): {
  network: VirtualNetwork;
  ids: readonly NodeId[];
  links: readonly (readonly [NodeId, NodeId])[];
  count: (kind: number) => number;
} {
  const random = seededRandom(seed);
  const most = kind === "mesh" ? 10 : 20;
  const ids = Array.from(
    { length: 3 + Math.floor(random() * (most - 2)) },
    (_, i) => `n${i}`,
  );
  const network = new VirtualNetwork({ seed, jitter: 2 });
  for (const id of ids) network.add(id, { router: mapRouter() });
  const links = graph(kind, ids, random);
  for (const [a, b] of links) network.connect(a, b);
  network.clock.tick(1000);
  const counts = new Map<number, number>();
  network.tap((_from, _to, packet) => {
    const kind = kindOf(packet) ?? -1;
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  });
  return { network, ids, links, count: (kind) => counts.get(kind) ?? 0 };
}

/** How many links the shortest path from a node to each other one has. */
function distances(
  from: NodeId,
  links: readonly (readonly [NodeId, NodeId])[],
): Map<NodeId, number> {
  const found = new Map([[from, 0]]);
  for (const [id, distance] of found) {
    for (const link of links) {
      if (!link.includes(id)) continue;
      const other = link[0] === id ? link[1] : link[0];
      if (!found.has(other)) found.set(other, distance + 1);
    }
  }
  return found;
}

for (const kind of KINDS) {
  Deno.test(`mapRouter() on ${GRAPHS} graphs (${kind}) reaches each node once with N − 1 packets`, () => {
    for (let seed = 1; seed <= GRAPHS; seed++) {
      const { network, ids, links, count } = settled(kind, seed);
      const origin = ids[seed % ids.length] ?? "";
      const payload = new Uint8Array([seed]);
      assertEquals(network.node(origin).send("all", payload), ids.length - 1);
      network.clock.tick(1000);
      assertEquals(count(BROADCAST), ids.length - 1);
      for (const { id, delivered } of network.nodes) {
        const expected = id === origin ? [] : [{ from: origin, payload }];
        assertEquals(delivered, expected);
      }
      let hops = 0;
      for (const [id, distance] of distances(origin, links)) {
        if (id === origin) continue;
        network.node(origin).send([id], payload);
        hops += distance;
      }
      network.clock.tick(1000);
      assertEquals(count(LETTER), hops);
    }
  });

  Deno.test(`mapRouter() on ${GRAPHS} graphs (${kind}) reaches each node once while links end`, () => {
    for (let seed = 1; seed <= GRAPHS; seed++) {
      const { network, ids, links, count } = settled(kind, seed);
      const { random } = network;
      const ended = links.filter(() => random() < 0.2);
      const left = links.filter((link) => !ended.includes(link));
      const origin = ids[seed % ids.length] ?? "";
      const payload = new Uint8Array([seed]);
      for (const [i, [a, b]] of ended.entries()) {
        network.cut(a, b, i % 2 === 0 ? "links" : "silence");
        if (i % 2 !== 0) network.disconnect(a, b);
        network.heal(a, b);
        network.clock.tick(random() * 2);
        if (i === 0) network.node(origin).send("all", payload);
      }
      if (ended.length === 0) network.node(origin).send("all", payload);
      network.clock.tick(3000);
      const reachable = distances(origin, left);
      for (const { id, delivered } of network.nodes) {
        const times = delivered.length;
        if (id === origin) assertEquals(times, 0);
        else if (reachable.has(id)) assertEquals(times, 1, `${id}, ${seed}`);
        else assert(times <= 1);
      }
      const most = 2 * links.length + ids.length - 1;
      assert(count(BROADCAST) <= most, `${count(BROADCAST)} of ${most}`);
      assert(count(CARRY) <= ended.length * ids.length);
    }
  });
}

Deno.test("mapRouter() sends no packet along a path that meets a node twice", () => {
  for (let seed = 1; seed <= 100; seed++) {
    const { network, ids, links } = settled("degree5", seed);
    const { random } = network;
    const steps = new Set<string>();
    network.tap((from, to, packet) => {
      const routed = readRouted(packet);
      if (routed === null) return;
      const { path } = routed;
      assertEquals(new Set(path).size, path.length);
      assertEquals(path.indexOf(to), path.indexOf(from) + 1);
      steps.add(path.join(" "));
    });
    for (const [a, b] of links) {
      const from = ids[Math.floor(random() * ids.length)] ?? "";
      for (const id of network.node(from).router.nodes) {
        network.node(from).send([id], new Uint8Array(8));
      }
      network.clock.tick(random());
      if (random() < 0.3) network.disconnect(a, b);
      network.clock.tick(random());
    }
    network.clock.tick(3000);
    assert(steps.size > 0);
  }
});
