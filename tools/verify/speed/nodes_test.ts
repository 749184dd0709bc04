import { assertEquals } from "@std/assert";
import { FIRST } from "../../../bench/payload.ts";
import { Values } from "../../../bench/values.ts";
import { expectedOf, faultsOf, type How } from "./nodes.ts";

const NODES = 8;

/** How many messages each node awaits. */
function totals(how: How, count: number, publishers = 1): readonly number[] {
  const work = { how, kind: "bytes128", count, publishers } as const;
  return Array.from(
    { length: NODES },
    (_, index) => expectedOf(work, index).total,
  );
}

Deno.test("expectedOf() awaits everything of everyone else where all emit", () => {
  assertEquals(totals("emit", 10), [0, 10, 10, 10, 10, 10, 10, 10]);
  assertEquals(totals("emit", 10, NODES), Array(NODES).fill(70));
});

Deno.test("expectedOf() awaits what is sent at its target only", () => {
  assertEquals(totals("send to 1", 14), [0, 14, 0, 0, 0, 0, 0, 0]);
  assertEquals(totals("send to 2", 14), [0, 7, 7, 0, 0, 0, 0, 0]);
  assertEquals(totals("send to 7", 14), [0, 2, 2, 2, 2, 2, 2, 2]);
  const work = { kind: "bytes128", count: 14, publishers: 1 } as const;
  assertEquals(
    expectedOf({ ...work, how: "send to 7" }, 3),
    { first: FIRST + 2, step: 7, total: 2 },
  );
});

Deno.test("expectedOf() awaits as many messages whether `emit` and `send` take turns or not", () => {
  const inTurns = totals("emit and send", 14);
  assertEquals(inTurns, [0, 14, 7, 7, 7, 7, 7, 7]);
  assertEquals(totals("emit, then send", 14), inTurns);
});

Deno.test("faultsOf() says what is wrong, and nothing where all is right", () => {
  const arrived = (received: number, wrong: number, lost: number) =>
    new Values("The answer", { received, wrong, lost });
  assertEquals(faultsOf("a", arrived(5, 0, 0), 5), []);
  assertEquals(faultsOf("a", arrived(4, 0, 0), 5), [
    "a received 4 of 5 messages, 0 of them wrong or out of order",
  ]);
  assertEquals(faultsOf("a", arrived(5, 1, 0), 5).length, 1);
  assertEquals(faultsOf("a", arrived(5, 0, 1), 5).length, 1);
});
