import { assertEquals, assertThrows } from "@std/assert";
import { msgpackr } from "@devts/protocol/msgpackr";
import {
  BundleWriter,
  EVENT,
  NO_REQUEST,
  PAYLOAD_MEMBERSHIP,
  readBundle,
  REPLY,
  REQUEST,
  SENT_EVENT,
} from "./bundle.ts";
import { readInterest, writeAll, writeChange } from "./interest_codec.ts";
import { forGuest, fromGuest, isAmong } from "./rights.ts";

const codec = msgpackr();
const RIGHTS = { emit: ["say", "chat.*"], handle: ["said"] };

function bundle(
  entries: readonly (readonly [number, string, unknown])[],
): Uint8Array {
  const writer = new BundleWriter(codec, 0);
  for (const [index, [type, name, value]] of entries.entries()) {
    const bytes = name === "" ? null : new TextEncoder().encode(name);
    const id = type === REQUEST || type === REPLY ? index : NO_REQUEST;
    writer.add(type, bytes, id, value);
  }
  return writer.take().payload;
}

function read(payload: Uint8Array): unknown[] {
  const read: unknown[] = [];
  const value = (start: number, end: number) =>
    start < 0 ? undefined : codec.decode(payload.subarray(start, end));
  readBundle<string>(payload, {
    resolve: (name) => name,
    extras: () => {},
    delivery: () => {},
    receipt: () => {},
    event: (name, id, alone, start, end) =>
      read.push([name, id, alone, value(start, end)]),
    reply: (id, _, start, end) => read.push([id, value(start, end)]),
  });
  return read;
}

Deno.test("fromGuest() keeps what may be emitted, and replies, in order", () => {
  const mixed = bundle([
    [SENT_EVENT, "say", "a"],
    [EVENT, "set", "b"],
    [REQUEST, "chat.join", undefined],
    [REQUEST, "drop", 1],
    [REPLY, "", { sum: 3 }],
    [EVENT, "say", "c"],
  ]);
  const { payloads, ...rest } = fromGuest(mixed, RIGHTS);
  assertEquals(rest, {
    dropped: 2,
    name: "drop",
    requests: [3],
    deliveries: [],
    stream: null,
  });
  assertEquals(payloads.flatMap(read), [
    ["say", NO_REQUEST, true, "a"],
    ["chat.join", 2, true, undefined],
    [4, { sum: 3 }],
    ["say", NO_REQUEST, false, "c"],
  ]);
});

Deno.test("fromGuest() and forGuest() hand on what is allowed as it is", () => {
  const fine = bundle([[EVENT, "say", 1], [EVENT, "chat.", 2]]);
  assertEquals(fromGuest(fine, RIGHTS).payloads, [fine]);
  assertEquals(forGuest(fine, RIGHTS).payloads, []);
  const news = Uint8Array.of(PAYLOAD_MEMBERSHIP, 1, 2, 3);
  assertEquals(fromGuest(news, RIGHTS).payloads, [news]);
  assertEquals(fromGuest(Uint8Array.of(99, 1), RIGHTS).payloads, []);
  assertEquals(fromGuest(new Uint8Array(0), RIGHTS).dropped, 1);
});

Deno.test("fromGuest() keeps a bundle of many events", () => {
  const many = bundle(
    Array.from({ length: 2_000 }, (_, i) => [EVENT, i % 3 ? "say" : "set", i]),
  );
  const { payloads, dropped } = fromGuest(many, RIGHTS);
  assertEquals(dropped, 667);
  assertEquals(payloads.flatMap(read).length, 1_333);
});

Deno.test("fromGuest() keeps of what a guest handles what it may", () => {
  const rights = { emit: [], handle: ["said", "chat.*", "room.one"] };
  const version = { incarnation: 5, run: 2, sequence: 9 };
  const group = { name: "all", strategy: "random", key: "" } as const;
  const told = [
    ...["said", "job", "chat.x", "chat.>", "chat.*.y", "room.one", "room.*"],
    ...["*", ">", "chat", "devts.agreement/x", "*.x"],
  ].flatMap((name) => [{ name, group: null }, { name, group }]);
  const may = new Set(["said", "chat.x", "chat.>", "chat.*.y", "room.one"]);
  const kept = told.filter(({ name }) => may.has(name));
  const [all] = writeAll(version, told);
  const change = writeChange(version, 3, told, [told[2] ?? told[0] as never]);
  for (const message of [all, change]) {
    if (!message) throw new TypeError("there is no message");
    const { payloads: [left], dropped } = fromGuest(message, rights);
    const read = readInterest(left ?? message);
    if (read?.type !== 1 && read?.type !== 2) throw new TypeError("no entries");
    assertEquals(read.added, kept);
    assertEquals(read.version, version);
    // Every node handles some of its own.
    assertEquals(dropped, told.length - kept.length - 2);
    const everything = { emit: [], handle: ["*"] };
    const { payloads } = fromGuest(message, everything);
    assertEquals(payloads.length, 1);
  }
  assertThrows(
    () => fromGuest((all ?? new Uint8Array()).subarray(0, 30), rights),
    SyntaxError,
  );
});

Deno.test("fromGuest() refuses a malformed bundle", () => {
  const cut = bundle([[EVENT, "say", "words"]]).subarray(0, 12);
  assertThrows(() => fromGuest(cut, RIGHTS), SyntaxError);
});

Deno.test("isAmong() knows names, beginnings and what is no guest's", () => {
  const table: readonly [string, boolean][] = [
    ["say", true],
    ["says", false],
    ["chat.", true],
    ["chat.x", true],
    ["chat", false],
    ["devts.keyring/do", false],
  ];
  for (const [name, is] of table) assertEquals(isAmong(RIGHTS.emit, name), is);
  assertEquals(isAmong(["*"], "devts.keyring/do"), false);
  assertEquals(isAmong(["*"], "anything"), true);
  assertEquals(isAmong([], "anything"), false);
});
