import { assertEquals, assertThrows } from "@std/assert";
import { MalformedError, Writer } from "./_bytes.ts";
import {
  ACK,
  ADVERTS,
  ANSWER,
  BROADCAST,
  CARRY,
  HELLO,
  kindOf,
  LETTER,
  MARK,
  readBroadcast,
  readLetter,
  readReport,
  readRouted,
  readTalk,
  readTally,
  REPORT,
  RETURN,
  SUMMARY,
  type Talk,
  TALLY,
  writeBroadcast,
  writeLetterHead,
  writeReport,
  writeRouted,
  writeTalk,
  writeTally,
} from "./_map_packets.ts";
import { Order } from "./_order.ts";
import { VirtualClock } from "./_virtual_clock.ts";

const ORDER = new Order({
  self: { id: "a", incarnation: 5 * 4096, addresses: [] },
  clock: new VirtualClock(),
  random: () => 0.5,
  links: { send: () => true, connect: () => {}, disconnect: () => {} },
  up: { deliver: () => {}, undelivered: () => {} },
});
const TO_ALL = ORDER.next(null, "data");
const TO_ONE = ORDER.next("c", "data");
const PAYLOAD = new Uint8Array([1, 2, 3]);

Deno.test("readTalk() reads what writeTalk() wrote", () => {
  const talks: Talk[] = [
    { kind: HELLO, token: 3, link: 2 ** 32 - 1 },
    { kind: ANSWER, token: 3, hash: 2 ** 52 - 1 },
    {
      kind: ADVERTS,
      adverts: [{ age: 0, bytes: PAYLOAD }, { age: 9, bytes: PAYLOAD }],
    },
    { kind: MARK, number: 2 ** 40 },
    { kind: ACK, lane: "control", number: 1 },
    { kind: ACK, lane: "data", number: 0 },
  ];
  for (const talk of talks) assertEquals(readTalk(writeTalk(talk)), talk);
  const versions = new Map([["b", { incarnation: 1, sequence: 2 }]]);
  const page = { after: "a", upTo: "", versions };
  const read = readTalk(writeTalk({ kind: SUMMARY, page }));
  assertEquals(read?.kind, SUMMARY);
  if (read?.kind === SUMMARY) {
    assertEquals({ ...read.page, versions: new Map(read.page.versions) }, page);
  }
});

Deno.test("readRouted() reads what writeRouted() wrote", () => {
  for (const kind of [LETTER, RETURN, REPORT, CARRY, TALLY] as const) {
    const packet = writeRouted({ kind, path: ["a", "b", "c"], detours: 2 }, [
      PAYLOAD.subarray(0, 1),
      PAYLOAD.subarray(1),
    ]);
    assertEquals(readRouted(packet), {
      kind,
      path: ["a", "b", "c"],
      detours: 2,
      content: PAYLOAD,
    });
    assertEquals(readTalk(packet), null);
  }
});

Deno.test("readLetter(), readReport() and readTally() read contents", () => {
  const head = writeLetterHead({ stamp: TO_ONE, life: 7 });
  const content = new Uint8Array([...head, ...PAYLOAD]);
  assertEquals(readLetter(content), {
    stamp: TO_ONE,
    life: 7,
    payload: PAYLOAD,
  });
  const report = { to: "c", reason: "why ✗", head: PAYLOAD };
  assertEquals(readReport(writeReport(report)), report);
  const tally = { link: 1, control: 2, data: 2 ** 33 };
  assertEquals(readTally(writeTally(tally)), tally);
});

Deno.test("writeReport() cuts a long reason", () => {
  const report = { to: "c", reason: "✗".repeat(999), head: PAYLOAD };
  assertEquals(readReport(writeReport(report)).reason, "✗".repeat(256));
});

Deno.test("readBroadcast() reads what writeBroadcast() wrote", () => {
  for (const isFlood of [true, false]) {
    const broadcast = {
      isFlood,
      digest: 2 ** 52 - 1,
      stamp: TO_ALL,
      payload: PAYLOAD,
    };
    assertEquals(readBroadcast(writeBroadcast(broadcast)), broadcast);
  }
});

Deno.test("readRouted() refuses paths that are none", () => {
  for (
    const path of [
      "",
      "a",
      "a  b",
      " a b",
      "a b ",
      "a\nb c",
      `a ${"b".repeat(65)}`,
    ]
  ) {
    const header = new Writer().u8(0).string(path).take();
    const packet = new Writer().bytes(header).take();
    assertThrows(
      () => readRouted(new Uint8Array([1, LETTER, ...packet])),
      MalformedError,
      undefined,
      path,
    );
  }
});

Deno.test("packets that are cut short are malformed, never read as others", () => {
  const whole = [
    writeTalk({ kind: ANSWER, token: 3, hash: 5 }),
    writeTalk({ kind: ADVERTS, adverts: [{ age: 0, bytes: PAYLOAD }] }),
    writeRouted({ kind: LETTER, path: ["a", "b"], detours: 0 }, []),
    writeBroadcast({
      isFlood: false,
      digest: 1,
      stamp: TO_ALL,
      payload: new Uint8Array(),
    }),
  ];
  for (const packet of whole) {
    for (let end = 3; end < packet.length; end++) {
      assertThrows(() => read(packet.subarray(0, end)), MalformedError);
    }
    read(packet);
  }
});

Deno.test("readBroadcast() refuses a payload for one", () => {
  const packet = writeBroadcast({
    isFlood: false,
    digest: 1,
    stamp: TO_ONE,
    payload: PAYLOAD,
  });
  assertThrows(() => readBroadcast(packet), MalformedError);
});

Deno.test("kindOf() knows its own format only", () => {
  assertEquals(kindOf(new Uint8Array([1, 7])), 7);
  assertEquals(kindOf(new Uint8Array([2, 7])), null);
  assertEquals(kindOf(new Uint8Array([1])), null);
  assertEquals(kindOf(new Uint8Array()), null);
});

function read(packet: Uint8Array): void {
  if (kindOf(packet) === BROADCAST) readBroadcast(packet);
  else if (readRouted(packet) === null) readTalk(packet);
}
