import { assertEquals, assertThrows } from "@std/assert";
import type { Result } from "../../../bench/measure.ts";
import { fastest, figureOf, ratioOf } from "./results.ts";

function result(peer: string, rate: number): Result {
  return { peer, count: 1, samples: [], medians: { rate } };
}

const FAILED: Result = {
  ...result("last", 1),
  medians: {},
  failure: "failed: no room",
};

Deno.test("figureOf() takes a figure of the peer of a name", () => {
  const results = [result("one", 1), result("two", 2)];
  assertEquals(figureOf(results, "two", "rate"), 2);
  assertThrows(
    () => figureOf(results, "three", "rate"),
    Error,
    "three was not measured",
  );
});

Deno.test("ratioOf() compares within each repetition", () => {
  const of = (peer: string, ...rates: number[]) => ({
    ...result(peer, 0),
    samples: rates.map((rate) => ({ rate })),
  });
  const results = [of("one", 10, 30, 90), of("two", 5, 10, 90)];
  assertEquals(ratioOf(results, "one", "two", "rate"), 2);
});

Deno.test("figureOf() throws what made a peer fail", () => {
  assertThrows(
    () => figureOf([FAILED], "last", "rate"),
    Error,
    "last failed: no room",
  );
});

Deno.test("fastest() names the fastest of the others", () => {
  const results = [result("raw", 9), result("one", 1), result("two", 2)];
  assertEquals(fastest(results, ["raw"]), "two");
  assertThrows(() => fastest(results, ["raw", "one", "two"]));
});

Deno.test("fastest() throws where one failed: it may be the fastest", () => {
  assertThrows(
    () => fastest([result("one", 1), FAILED], []),
    Error,
    "last failed: no room",
  );
});
