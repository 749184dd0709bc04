import { assertEquals } from "@std/assert";
import { graph } from "./_graphs.ts";
import { costOf, leafCost, makeAdvert } from "./_map_advert.ts";
import { Chart, type Place } from "./_map_chart.ts";
import { branchesAt, pathTo, shortestPaths } from "./_map_paths.ts";
import { seededRandom } from "./_random.ts";
import type { NodeId } from "./types.ts";

type Link = readonly [a: NodeId, b: NodeId, cost: number];

function chartOf(links: readonly Link[]): Chart {
  const chart = new Chart("a");
  const ids = new Set(links.flatMap(([a, b]) => [a, b]));
  for (const id of ids) {
    const costs = links.flatMap(([a, b, cost]): [NodeId, number][] =>
      a === id ? [[b, cost]] : b === id ? [[a, cost]] : []
    );
    chart.set(makeAdvert(id, { incarnation: 1, sequence: 1 }, costs), 0);
  }
  return chart;
}

function placeOf(chart: Chart, id: NodeId): Place {
  const place = chart.get(id);
  if (place === undefined) throw new TypeError(`There is no ${id}`);
  return place;
}

/**
 * The costs of all paths along links of one direction, found by trying until nothing gets
 * better (Bellman 1958).
 */
function costsFrom(root: NodeId, links: readonly Link[]): Map<NodeId, number> {
  const costs = new Map([[root, 0]]);
  for (let changed = true; changed;) {
    changed = false;
    for (const [from, to, cost] of links) {
      const total = (costs.get(from) ?? Infinity) + cost;
      if (total >= (costs.get(to) ?? Infinity)) continue;
      costs.set(to, total);
      changed = true;
    }
  }
  return costs;
}

Deno.test("shortestPaths() finds the shortest path to every node of 300 random graphs", () => {
  const random = seededRandom(7);
  for (let round = 0; round < 300; round++) {
    const ids = Array.from({ length: 3 + round % 30 }, (_, i) => `n${i}`);
    const links = graph(round % 2 === 0 ? "random" : "tree", ids, random)
      .map(([a, b]): Link => [a, b, 1 + Math.floor(random() * 64)]);
    const chart = chartOf(links);
    const tree = shortestPaths(placeOf(chart, "n0"));
    const expected = costsFrom(
      "n0",
      links.flatMap(([a, b, cost]): Link[] => [[a, b, cost], [b, a, cost]]),
    );
    assertEquals(tree.order.length, ids.length);
    for (const [place, { via, cost }] of tree.steps) {
      assertEquals(cost, expected.get(place.id));
      if (via === null) continue;
      assertEquals(
        (tree.steps.get(via)?.cost ?? 0) + (via.ways.get(place) ?? 0),
        cost,
      );
    }
  }
});

Deno.test("shortestPaths() takes the relay with the smallest id where paths cost the same", () => {
  const chart = chartOf([
    ["a", "d", 1],
    ["a", "b", 1],
    ["a", "c", 1],
    ["d", "e", 1],
    ["c", "e", 1],
    ["b", "e", 1],
  ]);
  const tree = shortestPaths(placeOf(chart, "a"));
  assertEquals(pathTo(tree, placeOf(chart, "e")), ["a", "b", "e"]);
});

Deno.test("shortestPaths() ends with links to leaves, as few as can be, on 300 random graphs", () => {
  const random = seededRandom(8);
  let ended = 0;
  for (let round = 0; round < 300; round++) {
    const ids = Array.from({ length: 3 + round % 30 }, (_, i) => `n${i}`);
    const costs = new Map<NodeId, [NodeId, number][]>(
      ids.map((id) => [id, []]),
    );
    const links: [NodeId, NodeId, number][] = [];
    for (const [a, b] of graph("random", ids, random)) {
      for (const [from, to] of [[a, b], [b, a]] as const) {
        const cost = 1 + Math.floor(random() * 64);
        const told = random() < 0.2 ? leafCost(cost) : cost;
        costs.get(from)?.push([to, told]);
        links.push([from, to, told]);
      }
    }
    const chart = new Chart("n0");
    for (const [id, told] of costs) {
      chart.set(makeAdvert(id, { incarnation: 1, sequence: 1 }, told), 0);
    }
    const { steps, order } = shortestPaths(placeOf(chart, "n0"));
    const plain = costsFrom(
      "n0",
      links.filter(([, , told]) => told === costOf(told)),
    );
    const expected = new Map(plain);
    for (const [from, to, told] of links) {
      const total = (plain.get(from) ?? Infinity) + costOf(told);
      if (plain.has(to) || total >= (expected.get(to) ?? Infinity)) continue;
      expected.set(to, total);
      ended++;
    }
    assertEquals(
      new Map([...steps].map(([{ id }, { cost }]) => [id, cost])),
      expected,
    );
    const found = order.map((place) => steps.get(place)?.cost ?? -1);
    assertEquals(found, found.toSorted((a, b) => a - b));
    for (const [at, place] of order.entries()) {
      const via = steps.get(place)?.via;
      assertEquals(via ? order.indexOf(via) < at : at === 0, true);
    }
  }
  assertEquals(ended > 100, true);
});

Deno.test("shortestPaths() leaves out ways that are not open", () => {
  const chart = chartOf([["a", "b", 1], ["b", "c", 1], ["a", "c", 5]]);
  const tree = shortestPaths(placeOf(chart, "a"), (_, to) => to.id !== "b");
  assertEquals(pathTo(tree, placeOf(chart, "c")), ["a", "c"]);
  assertEquals(pathTo(tree, placeOf(chart, "b")), null);
});

Deno.test("branchesAt() gives each node to one branch", () => {
  const chart = chartOf([
    ["a", "b", 1],
    ["a", "c", 1],
    ["b", "d", 1],
    ["c", "d", 1],
    ["d", "e", 1],
  ]);
  const tree = shortestPaths(placeOf(chart, "a"));
  assertEquals(branchesAt(tree, placeOf(chart, "a")), [
    { id: "b", size: 3 },
    { id: "c", size: 1 },
  ]);
  assertEquals(branchesAt(tree, placeOf(chart, "b")), [{ id: "d", size: 2 }]);
  assertEquals(branchesAt(tree, placeOf(chart, "e")), []);
});
