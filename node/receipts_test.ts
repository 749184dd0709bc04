import { assertEquals, assertThrows } from "@std/assert";
import { seededRandom } from "@devts/routing/testing";
import {
  DeliveryWriter,
  DONE,
  FAILED,
  readDelivery,
  readReceipt,
  type Result,
  RUNNING,
  UNHANDLED,
  WINDOW,
  writeEcho,
  writeReceipts,
} from "./delivery_wire.ts";
import { areExtras, writeExtras } from "./extras.ts";
import { Receipts } from "./receipts.ts";

function setUp(limit = 8) {
  const sent: unknown[] = [];
  const counts = { duplicates: 0 };
  const met = { origins: 0 };
  const receipts = new Receipts({
    limit,
    met,
    counts,
    send: (to, run, receipt) => {
      const { kind, ...rest } = readReceipt(receipt);
      assertEquals(kind, "results");
      sent.push([to, run, ...Object.values(rest)]);
    },
  });
  return { sent, counts, met, receipts };
}

function id(sequence: number, floor = 0, run = 1, incarnation = 1) {
  return { run, incarnation, sequence, floor, number: sequence };
}

Deno.test("Receipts take a delivery once, and tell what became of it", async () => {
  const { receipts, sent, counts } = setUp();
  const window = receipts.accept("ada", id(0));
  if (window === null) throw new Error("It was not taken");
  assertEquals(receipts.accept("ada", id(0)), null);
  await Promise.resolve();
  assertEquals(sent.splice(0), [
    ["ada", 1, [{ code: RUNNING, first: 0, count: 1, text: "" }]],
  ]);
  receipts.settle(window, FAILED, 0, "disk full");
  assertEquals(receipts.accept("ada", id(0)), null);
  await Promise.resolve();
  assertEquals(sent, [["ada", 1, [
    { code: FAILED, first: 0, count: 1, text: "disk full" },
    { code: FAILED, first: 0, count: 1, text: "" },
  ]]]);
  assertEquals(counts.duplicates, 2);
});

Deno.test("Receipts tell of deliveries in a row at once", async () => {
  const { receipts, sent } = setUp();
  for (let sequence = 0; sequence < 100; sequence++) {
    const window = receipts.accept("ada", id(sequence));
    if (window) receipts.settle(window, DONE, sequence);
  }
  const window = receipts.accept("bob", id(7));
  if (window) receipts.settle(window, UNHANDLED, 7);
  await Promise.resolve();
  assertEquals(sent, [
    ["ada", 1, [{ code: DONE, first: 0, count: 100, text: "" }]],
    ["bob", 1, [{ code: UNHANDLED, first: 7, count: 1, text: "" }]],
  ]);
});

Deno.test("Receipts know what they took in any order, as far as the window goes", () => {
  const { receipts } = setUp();
  const taken = (sequence: number, floor: number): boolean =>
    receipts.accept("ada", id(sequence, floor)) !== null;
  const last = WINDOW - 1;
  for (const sequence of [last, 0, 63, 64, 65, 1_000]) {
    assertEquals(taken(sequence, 0), true);
  }
  for (const sequence of [last, 0, 63, 64, 65, 1_000]) {
    assertEquals(taken(sequence, 0), false);
  }
  // What is settled is out of the window, and what follows comes in.
  assertEquals(taken(WINDOW, 64), true);
  assertEquals(taken(63, 0), false);
  assertEquals(taken(64, 64), false);
  assertEquals(taken(66, 64), true);
  assertEquals(taken(10 * WINDOW, 10 * WINDOW), true);
  assertEquals(taken(10 * WINDOW + last, 10 * WINDOW), true);
  assertEquals(taken(10 * WINDOW, 10 * WINDOW), false);
});

Deno.test("Receipts take what a later start of a node sends, and nothing of an earlier one", () => {
  const { receipts } = setUp();
  assertEquals(receipts.accept("ada", id(0, 0, 1, 5)) !== null, true);
  assertEquals(receipts.accept("ada", id(0, 0, 2, 6)) !== null, true);
  assertEquals(receipts.accept("ada", id(1, 0, 1, 5)), null);
  assertEquals(receipts.accept("ada", id(0, 0, 2, 7)), null);
});

Deno.test("Receipts forget the origin heard of least lately", () => {
  const { receipts, met } = setUp(2);
  receipts.accept("ada", id(0));
  receipts.accept("bob", id(0));
  receipts.accept("ada", id(1));
  receipts.accept("cyd", id(0));
  assertEquals([receipts.size, met.origins], [2, 1]);
  assertEquals(receipts.accept("ada", id(0)), null);
  assertEquals(receipts.accept("bob", id(0)) !== null, true);
});

Deno.test("readDelivery() reads what DeliveryWriter writes", () => {
  const writer = new DeliveryWriter(0xfedcba98);
  const sequence = 2 ** 33 + 5;
  const written = writer.write(2 ** 50, sequence, sequence - 300, 2 ** 40);
  assertEquals(areExtras(written, 0, written.length), true);
  assertEquals(readDelivery(written, 0, written.length, 5), {
    run: 0xfedcba98,
    incarnation: 2 ** 50,
    sequence,
    floor: sequence - 300,
    number: 2 ** 40,
  });
});

Deno.test("readDelivery() refuses what no writer writes", () => {
  const good = new DeliveryWriter(1).write(1, 5, 0, 0);
  const refuse = (extras: Uint8Array): void => {
    assertThrows(
      () => readDelivery(extras, 0, extras.length, 5),
      SyntaxError,
    );
  };
  refuse(new Uint8Array(0));
  refuse(writeExtras([[3, new Uint8Array(25)]]));
  refuse(writeExtras([[2, new Uint8Array(26)]]));
  const change = (at: number, value: number): Uint8Array => {
    const changed = good.slice();
    changed[at] = value;
    return changed;
  };
  refuse(change(1, 1));
  refuse(change(3 + 17, 6)); // before the first sequence
  refuse(change(3 + 16, 0x10)); // beyond the window
  refuse(change(3 + 4, 0xff)); // an unsafe incarnation
});

Deno.test("readReceipt() reads what writeReceipts() writes, however much", () => {
  const results: Result[] = Array.from({ length: 5_000 }, (_, i) => ({
    code: FAILED,
    first: 2 * i,
    count: 1,
    text: i % 2 === 0 ? "" : "é".repeat(500),
  }));
  const read = writeReceipts(results).flatMap((receipt) => {
    const part = readReceipt(receipt);
    if (part.kind !== "results") throw new Error(part.kind);
    assertEquals(receipt.length <= 32_768, true);
    return part.results;
  });
  assertEquals(read.length, results.length);
  assertEquals(read[1], { ...results[1], text: "é".repeat(80) });
  assertEquals(readReceipt(writeEcho("echo")), { kind: "echo" });
  assertEquals(readReceipt(writeEcho("echoed")), { kind: "echoed" });
  assertEquals(readReceipt(Uint8Array.of(9, 1, 2)), { kind: "unknown" });
});

Deno.test("readReceipt() and readDelivery() give nothing but a SyntaxError for random bytes", () => {
  const random = seededRandom(5);
  let read = 0;
  for (let i = 0; i < 20_000; i++) {
    const bytes = new Uint8Array(Math.floor(40 * random()));
    for (let at = 0; at < bytes.length; at++) {
      bytes[at] = random() < 0.5 ? 0 : Math.floor(256 * random());
    }
    try {
      readReceipt(bytes);
      if (areExtras(bytes, 0, bytes.length)) {
        readDelivery(bytes, 0, bytes.length, i);
      }
      read++;
    } catch (error) {
      assertEquals(error instanceof SyntaxError, true);
    }
  }
  assertEquals(read > 0, true);
});

Deno.test("readReceipt() refuses every truncation, and results that go on for too long", () => {
  const [receipt] = writeReceipts([
    { code: FAILED, first: 3, count: 2, text: "why" },
  ]);
  if (receipt === undefined) throw new Error("There is none");
  for (let end = 2; end < receipt.length; end++) {
    assertThrows(() => readReceipt(receipt.subarray(0, end)), SyntaxError);
  }
  assertThrows(() => readReceipt(new Uint8Array(0)), SyntaxError);
  receipt[10] = 0xff;
  assertThrows(() => readReceipt(receipt), SyntaxError);
});
