import { assert, assertEquals } from "@std/assert";
import { graph, type GraphKind } from "./_graphs.ts";
import { seededRandom } from "./_random.ts";

const KINDS: readonly GraphKind[] = [
  "line",
  "ring",
  "star",
  "mesh",
  "tree",
  "degree5",
  "random",
];

function idsOf(count: number): string[] {
  return Array.from({ length: count }, (_, at) => `n${at}`);
}

function reached(links: readonly (readonly [string, string])[]): Set<string> {
  const known = new Set(["n0"]);
  for (let size = 0; size < known.size;) {
    size = known.size;
    for (const [a, b] of links) {
      if (known.has(a)) known.add(b);
      if (known.has(b)) known.add(a);
    }
  }
  return known;
}

Deno.test("graph() is connected, without a link twice or of a node to itself", () => {
  const random = seededRandom(3);
  for (const kind of KINDS) {
    for (const count of [1, 2, 3, 4, 7, 40]) {
      const links = graph(kind, idsOf(count), random);
      const pairs = new Set(links.map((link) => [...link].sort().join()));
      assertEquals(reached(links).size, count, `${kind} ${count}`);
      assertEquals(pairs.size, links.length, `${kind} ${count}`);
      assert(links.every(([a, b]) => a !== b), `${kind} ${count}`);
    }
  }
});

Deno.test("graph() has as many links as its form", () => {
  const random = seededRandom(3);
  const count = (kind: GraphKind) => graph(kind, idsOf(20), random).length;
  assertEquals([count("line"), count("ring"), count("star")], [19, 20, 19]);
  assertEquals([count("mesh"), count("tree")], [190, 19]);
});

Deno.test("graph() gives no node more than five links in degree5", () => {
  for (let seed = 0; seed < 50; seed++) {
    const links = graph("degree5", idsOf(60), seededRandom(seed));
    const degrees = new Map<string, number>();
    for (const id of links.flat()) degrees.set(id, (degrees.get(id) ?? 0) + 1);
    assertEquals(Math.max(...degrees.values()), 5);
  }
});

Deno.test("graph() differs by what is random", () => {
  const links = (seed: number) =>
    graph("random", idsOf(20), seededRandom(seed));
  assertEquals(links(1), links(1));
  assert(JSON.stringify(links(1)) !== JSON.stringify(links(2)));
});
