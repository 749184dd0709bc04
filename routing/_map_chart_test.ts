import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { makeAdvert } from "./_map_advert.ts";
import { Chart } from "./_map_chart.ts";
import type { NodeId } from "./types.ts";

/** Draws links of which both ends tell; a node's links in one word: `a: "bc"`. */
function chartOf(links: Readonly<Record<NodeId, string>>): Chart {
  const chart = new Chart("a");
  for (const [id, others] of Object.entries(links)) tell(chart, id, others);
  return chart;
}

function tell(
  chart: Chart,
  id: NodeId,
  others: string,
  sequence = 1,
  cost = 1,
): void {
  const costs = [...others].map((other): [NodeId, number] => [other, cost]);
  chart.set(makeAdvert(id, { incarnation: 1, sequence }, costs), 0);
}

function waysOf(chart: Chart, id: NodeId): [NodeId, number][] {
  return [...chart.get(id)?.ways ?? []].map((
    [place, cost],
  ): [NodeId, number] => [place.id, cost]).sort();
}

Deno.test("Chart counts a link once both ends tell of it", () => {
  const chart = chartOf({ a: "b", b: "" });
  assertEquals(waysOf(chart, "a"), []);
  tell(chart, "b", "a", 2);
  assertEquals(waysOf(chart, "a"), [["b", 1]]);
  assertEquals(waysOf(chart, "b"), [["a", 1]]);
});

Deno.test("Chart takes a link away once one end no longer tells of it", () => {
  const chart = chartOf({ a: "bc", b: "ac", c: "ab" });
  tell(chart, "b", "c", 2);
  assertEquals(waysOf(chart, "a"), [["c", 1]]);
  assertEquals(waysOf(chart, "b"), [["c", 1]]);
});

Deno.test("Chart takes from each end what the link costs from there", () => {
  const chart = chartOf({ a: "b", b: "a" });
  tell(chart, "b", "a", 2, 9);
  assertEquals(waysOf(chart, "a"), [["b", 1]]);
  assertEquals(waysOf(chart, "b"), [["a", 9]]);
});

Deno.test("Chart.delete() takes a node's links with it", () => {
  const chart = chartOf({ a: "bc", b: "ac", c: "ab" });
  const place = chart.get("b");
  assert(place);
  chart.delete(place);
  assertEquals([chart.size, chart.links], [2, 4]);
  assertEquals(waysOf(chart, "a"), [["c", 1]]);
  assertEquals(waysOf(chart, "c"), [["a", 1]]);
});

Deno.test("Chart.version rises when ways change, and only then", () => {
  const chart = chartOf({ a: "bc", b: "ac", c: "ab" });
  const { version } = chart;
  tell(chart, "b", "ac", 2);
  tell(chart, "d", "b");
  tell(chart, "b", "acx", 3);
  assertEquals(chart.version, version);
  tell(chart, "b", "acd", 4);
  assert(chart.version > version);
});

Deno.test("Chart.digest and Chart.hash are the same however the map came about", () => {
  const one = chartOf({ a: "bc", b: "ac", c: "ab", d: "" });
  const other = chartOf({ c: "ab", a: "b", d: "c" });
  tell(other, "b", "ac");
  assertNotEquals(other.digest, one.digest);
  tell(other, "a", "bc", 2);
  assertEquals(other.digest, one.digest);
  assertNotEquals(other.hash, one.hash);
  tell(other, "d", "", 2);
  assertEquals(other.hash, one.hash);
  const empty = new Chart("a");
  for (const chart of [one, other]) {
    for (const place of chart.places()) chart.delete(place);
    assertEquals([chart.hash, chart.digest, chart.links], [
      empty.hash,
      empty.digest,
      0,
    ]);
  }
});
