import { assertAlmostEquals, assertEquals } from "@std/assert";
import {
  confirmationsNeeded,
  exchangeScale,
  retransmitLimit,
  shortestSuspicion,
  suspicionTimeout,
} from "./_swim_formulas.ts";

/** Nodes, shortest, longest and once confirmed timeout in seconds, sends. */
const TABLE: readonly (readonly [number, number, number, number, number])[] = [
  [4, 4, 24, 11.4, 4],
  [5, 4, 24, 11.4, 4],
  [10, 4, 24, 11.4, 8],
  [50, 6.8, 40.8, 19.3, 8],
  [100, 8, 48, 22.8, 12],
  [1_000, 12, 72, 34.1, 16],
  [10_000, 16, 96, 45.5, 20],
];

Deno.test("suspicionTimeout() shrinks with each accuser, as Lifeguard says", () => {
  for (const [nodes, min, max, once, sends] of TABLE) {
    const shortest = shortestSuspicion(nodes, 4, 1);
    const needed = confirmationsNeeded(nodes, 4);
    assertEquals(needed, 2);
    assertAlmostEquals(shortest, min, 0.05);
    assertAlmostEquals(suspicionTimeout(shortest, needed, 0), max, 0.05);
    assertAlmostEquals(suspicionTimeout(shortest, needed, 1), once, 0.06);
    assertEquals(suspicionTimeout(shortest, needed, 2), shortest);
    assertEquals(suspicionTimeout(shortest, needed, 9), shortest);
    assertEquals(retransmitLimit(nodes), sends);
  }
});

Deno.test("suspicionTimeout() is the shortest where too few could confirm, three times that for two", () => {
  for (const [nodes, timeout] of [[2, 12], [3, 4]] as const) {
    const shortest = shortestSuspicion(nodes, 4, 1);
    assertEquals(confirmationsNeeded(nodes, 4), 0);
    assertEquals(suspicionTimeout(shortest, 0, 0), timeout);
    assertEquals(retransmitLimit(nodes), 4);
  }
  assertEquals(confirmationsNeeded(1_000, 1), 0);
});

Deno.test("exchangeScale() grows above 32 nodes", () => {
  const scales = [2, 32, 33, 64, 65, 1_000, 10_000].map(exchangeScale);
  assertEquals(scales, [1, 1, 2, 2, 3, 6, 10]);
});
