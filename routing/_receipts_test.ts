import { assert, assertEquals } from "@std/assert";
import type { Stamp } from "./_order_stamp.ts";
import {
  codeOf,
  HEAD,
  type Note,
  type Reason,
  reasonAt,
  Receipts,
} from "./_receipts.ts";
import { VirtualClock } from "./testing.ts";
import type { Lane, NodeId } from "./types.ts";

/** Receipts, and what they asked for. */
class Bench {
  readonly clock = new VirtualClock();
  readonly log: string[] = [];
  readonly notes: Note[] = [];
  readonly heads: Uint8Array[] = [];
  readonly receipts: Receipts;

  constructor() {
    this.receipts = new Receipts({
      clock: this.clock,
      ask: (to, numbers) => this.log.push(`ask ${to} ${numbers}`),
      note: (note) => this.notes.push(note),
      undelivered: (to, head, lastHop, reason) => {
        this.heads.push(head);
        this.log.push(`${to} at ${lastHop}: ${reason}`);
      },
      silent: (to) => this.log.push(`silent ${to}`),
    }, "me");
  }

  sent(to: NodeId | null, number: number, lane: Lane = "data", size = 5): void {
    const stamp: Stamp = {
      origin: "me",
      epoch: 1,
      to,
      lane,
      number,
      broadcasts: 0,
      unicasts: 0,
      isRecent: false,
      mentions: [],
    };
    this.receipts.sent(stamp, new Uint8Array(size).fill(number));
  }

  noted(by: NodeId, reason: Reason, numbers: number[], isFinal = false): void {
    const note = { origin: "me", epoch: 1, target: "x", next: "x" };
    this.receipts.noted(by, { ...note, reason, numbers }, isFinal);
  }

  /** What happened within so many ms. */
  within(ms: number): string[] {
    this.clock.tick(ms);
    return this.log.splice(0);
  }
}

Deno.test("Receipts asks after 2.5 s, and gives up after 5 s", () => {
  const bench = new Bench();
  bench.sent("x", 1);
  bench.sent("x", 2);
  assertEquals(bench.within(2499), []);
  assertEquals(bench.within(1), ["ask x 1,2"]);
  bench.noted("x", "received", [1]);
  assertEquals(bench.within(2499), []);
  assertEquals(bench.within(1), ["x at me: nobody has answered", "silent x"]);
  assertEquals(bench.heads, [new Uint8Array(5).fill(2)]);
  assertEquals([bench.within(60_000), bench.clock.pending], [[], 0]);
});

Deno.test("Receipts names where a packet was dropped, when no other copy came", () => {
  const bench = new Bench();
  bench.sent("x", 1);
  bench.sent("x", 2);
  bench.noted("relay", "its link had no room", [1, 2]);
  bench.noted("x", "received", [2]);
  assertEquals(bench.within(5000), [
    "ask x 1",
    "x at relay: its link had no room",
  ]);
});

Deno.test("Receipts gives up at once what took its only way, or came too late", () => {
  const bench = new Bench();
  for (const number of [1, 2, 3]) bench.sent("x", number);
  bench.noted("relay", "its link had no room", [1], true);
  bench.noted("x", "it came too late for its turn", [2]);
  bench.receipts.gone("x", "it is gone");
  assertEquals(bench.within(0), [
    "x at relay: its link had no room",
    "x at x: it came too late for its turn",
    "x at me: it is gone",
  ]);
});

Deno.test("Receipts believes only the target, and knows neither the control lane nor broadcasts", () => {
  const bench = new Bench();
  bench.sent("x", 1);
  bench.sent("x", 2, "control");
  bench.sent(null, 3);
  bench.noted("liar", "received", [1]);
  assertEquals(bench.within(6000), [
    "ask x 1",
    "x at me: nobody has answered",
    "silent x",
  ]);
});

Deno.test("Receipts remembers 1,024 packets to a node and 8,192 in all, by their first 256 bytes", () => {
  const bench = new Bench();
  for (let i = 0; i < 10; i++) {
    for (let number = 1; number <= 2000; number++) {
      bench.sent(`${i}`, number, "data", 1000);
    }
  }
  assertEquals(bench.receipts.counters.unwatched, 20_000 - 8192);
  bench.clock.tick(6000);
  assertEquals(bench.heads.length, 8192);
  assert(bench.heads.every(({ length }) => length === HEAD));
});

Deno.test("Receipts.note() sends the first note at once, the next together", () => {
  const bench = new Bench();
  const about = { origin: "o", epoch: 1, target: "me", next: "me" };
  const note = (number: number, reason: Reason = "received"): void =>
    bench.receipts.note({ ...about, reason }, number);
  note(1);
  for (let number = 2; number <= 40; number++) note(number);
  note(41, "its link had no room");
  assertEquals(bench.notes.map(({ numbers }) => numbers.length), [1, 32, 1]);
  bench.clock.tick(100);
  assertEquals(bench.notes.map(({ numbers }) => numbers.length), [1, 32, 1, 7]);
  bench.clock.tick(1000);
  assertEquals([bench.notes.length, bench.clock.pending], [4, 0]);
});

Deno.test("Receipts has notes of 1,024 kinds under way at most", () => {
  const bench = new Bench();
  for (let i = 0; i < 3000; i++) {
    const about = { origin: `${i}`, epoch: 1, target: "me", next: "me" };
    bench.receipts.note({ ...about, reason: "received" }, 1);
  }
  assertEquals(bench.notes.length, 1024);
  assertEquals(bench.receipts.counters.unnoted, 3000 - 1024);
});

Deno.test("Receipts plans nothing after close()", () => {
  const bench = new Bench();
  bench.sent("x", 1);
  const about = { origin: "o", epoch: 1, target: "me", next: "me" };
  bench.receipts.note({ ...about, reason: "received" }, 1);
  bench.receipts.close();
  assertEquals([bench.clock.pending, bench.within(10_000)], [0, []]);
});

Deno.test("reasonAt() knows the codes of all reasons and no others", () => {
  for (let code = 0; code < 5; code++) {
    const reason = reasonAt(code);
    assert(reason !== undefined);
    assertEquals(codeOf(reason), code);
  }
  assertEquals(reasonAt(5), undefined);
});
