import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Codec } from "@devts/protocol";
import { json } from "@devts/protocol/json";
import { msgpackr } from "@devts/protocol/msgpackr";
import { seededRandom } from "@devts/routing/testing";
import {
  BUNDLE_SIZE,
  BundleWriter,
  EVENT,
  FAILURE,
  NO_REQUEST,
  readBundle,
  REPLY,
  REQUEST,
} from "./bundle.ts";

const codec = msgpackr();

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** An entry as a reader sees it. */
type Entry =
  | {
    readonly event: string;
    readonly request: number;
    readonly data: Uint8Array | null;
  }
  | {
    readonly reply: number;
    readonly failed: boolean;
    readonly data: Uint8Array | null;
  };

function read(payload: Uint8Array): Entry[] {
  const entries: Entry[] = [];
  const cut = (start: number, end: number) =>
    start < 0 ? null : payload.slice(start, end);
  readBundle<string>(payload, {
    resolve: (name) => name,
    event: (event, request, start, end) =>
      entries.push({ event, request, data: cut(start, end) }),
    reply: (reply, failed, start, end) =>
      entries.push({ reply, failed, data: cut(start, end) }),
  });
  return entries;
}

/** A bundle with one entry of each kind. */
function mixed(headroom = 0): Uint8Array {
  const writer = new BundleWriter(codec, headroom);
  const say = utf8("say");
  writer.add(EVENT, say, 0, "hi");
  writer.add(EVENT, say, 0, undefined);
  writer.add(REQUEST, utf8("sum"), 0x01020304, 7);
  writer.add(REPLY, null, 0xfffffffe, true);
  writer.add(REPLY, null, 5, undefined);
  writer.addBytes(FAILURE, null, 6, Uint8Array.of(2, 0x78));
  return writer.take().payload;
}

Deno.test("BundleWriter writes the documented bytes", () => {
  assertEquals(
    mixed(),
    // deno-fmt-ignore
    Uint8Array.of(
      1, 0,
      0, 254, 0, 0, 0, 3, 3, 0x73, 0x61, 0x79, 0xa2, 0x68, 0x69,
      0x80, 0, 0, 0, 0, 0,
      1, 254, 0, 0, 0, 1, 1, 2, 3, 4, 3, 0x73, 0x75, 0x6d, 7,
      2, 255, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfe, 0xc3,
      0x82, 255, 0, 0, 0, 0, 0, 0, 0, 5,
      3, 255, 0, 0, 0, 2, 0, 0, 0, 6, 2, 0x78,
    ),
  );
});

Deno.test("readBundle() reads every kind of entry", () => {
  assertEquals(read(mixed()), [
    { event: "say", request: NO_REQUEST, data: codec.encode("hi") },
    { event: "say", request: NO_REQUEST, data: null },
    { event: "sum", request: 0x01020304, data: codec.encode(7) },
    { reply: 0xfffffffe, failed: false, data: codec.encode(true) },
    { reply: 5, failed: false, data: null },
    { reply: 6, failed: true, data: Uint8Array.of(2, 0x78) },
  ]);
});

Deno.test("BundleWriter leaves headroom in front of each bundle", () => {
  const writer = new BundleWriter(codec, 4);
  for (let i = 0; i < 3; i++) {
    writer.add(EVENT, utf8("n"), 0, i);
    const { message, payload, count } = writer.take();
    assertEquals(count, 1);
    assertEquals(message.length, payload.length + 4);
    assertEquals(message.buffer, payload.buffer);
    assertEquals(message.byteOffset + 4, payload.byteOffset);
  }
});

Deno.test("BundleWriter names an event once per bundle, beyond 254 names each time", () => {
  const writer = new BundleWriter(codec, 0);
  const names = Array.from({ length: 300 }, (_, i) => utf8(`name${i}`));
  const expected: string[] = [];
  for (let round = 0; round < 2; round++) {
    for (const [i, name] of names.entries()) {
      assert(writer.add(EVENT, name, 0, undefined));
      expected.push(`name${i}`);
    }
  }
  const { payload, count } = writer.take();
  assertEquals(count, 600);
  const got = read(payload).map((entry) => "event" in entry && entry.event);
  assertEquals(got, expected);
  // 254 names are written once, the other 46 twice.
  const named = names.map((name) => name.length + 1);
  const bytes = (from: number, to: number) =>
    named.slice(from, to).reduce((sum, length) => sum + length, 0);
  assertEquals(
    payload.length,
    2 + 600 * 6 + bytes(0, 254) + 2 * bytes(254, 300),
  );
});

Deno.test("BundleWriter.add() says what does not fit, and what was there stays", () => {
  const writer = new BundleWriter(codec, 4);
  const name = utf8("blob");
  const half = new Uint8Array(BUNDLE_SIZE / 2);
  assert(writer.add(EVENT, name, 0, half));
  assert(!writer.add(EVENT, name, 0, half));
  assert(writer.add(EVENT, name, 0, "small"));
  assertEquals(writer.count, 2);
  const [first, second] = read(writer.take().payload);
  assertEquals(first?.data, codec.encode(half));
  assertEquals(second?.data, codec.encode("small"));
});

Deno.test("BundleWriter.add() that throws leaves the bundle as it was", () => {
  const writer = new BundleWriter(codec, 4);
  const name = utf8("x");
  writer.add(EVENT, name, 0, 1);
  assertThrows(() => writer.add(EVENT, utf8("bad"), 0, () => {}), TypeError);
  assertThrows(() => writer.add(EVENT, utf8("bad"), 0, { a: [() => {}] }));
  writer.add(EVENT, name, 0, 2);
  const { payload, count } = writer.take();
  assertEquals(count, 2);
  assertEquals(read(payload).map(({ data }) => data), [
    codec.encode(1),
    codec.encode(2),
  ]);
});

Deno.test("BundleWriter.single() carries data of any size", () => {
  const writer = new BundleWriter(codec, 4);
  const bytes = new Uint8Array(3 * BUNDLE_SIZE).fill(7);
  const { message, payload, count } = writer.single(
    REQUEST,
    utf8("big"),
    9,
    bytes,
  );
  assertEquals(count, 1);
  assertEquals(message.length, payload.length + 4);
  assertEquals(read(payload), [{ event: "big", request: 9, data: bytes }]);
  const reply = writer.single(REPLY, null, 9, bytes);
  assertEquals(read(reply.payload), [{
    reply: 9,
    failed: false,
    data: bytes,
  }]);
});

Deno.test("BundleWriter never writes where a bundle was taken", () => {
  const random = seededRandom(11);
  const writer = new BundleWriter(codec, 4);
  const name = utf8("n");
  const taken: { message: Uint8Array; copy: Uint8Array }[] = [];
  for (let i = 0; i < 2_000; i++) {
    const length = Math.floor(random() * (i % 10 === 0 ? 20_000 : 200));
    const data = new Uint8Array(length).fill(i);
    if (!writer.add(EVENT, name, 0, data) && writer.count > 0) {
      const { message } = writer.take();
      taken.push({ message, copy: message.slice() });
      writer.add(EVENT, name, 0, data);
    }
    if (random() < 0.3 && writer.count > 0) {
      const { message } = writer.take();
      // Whoever takes a bundle may write into its headroom.
      message.fill(0xee, 0, 4);
      taken.push({ message, copy: message.slice() });
    }
  }
  for (const { message, copy } of taken) assertEquals(message, copy);
});

Deno.test("BundleWriter gives a bundle of medium entries a slab that holds several", () => {
  const writer = new BundleWriter(codec, 4);
  const name = utf8("medium");
  const data = new Uint8Array(6_000);
  let refused = 0;
  let bundles = 0;
  for (let i = 0; i < 100; i++) {
    if (writer.add(EVENT, name, 0, data)) continue;
    assert(writer.count > 0, "an empty bundle refuses what fits into a bundle");
    refused++;
    writer.take();
    bundles++;
    assert(
      writer.add(EVENT, name, 0, data),
      "an empty bundle refuses what fits into a bundle",
    );
  }
  assertEquals(refused, bundles);
  assertEquals(bundles, 9);
});

Deno.test("BundleWriter works with a codec that does not work in place", () => {
  const plain: Codec = json();
  const writer = new BundleWriter(plain, 4);
  assert(writer.add(EVENT, utf8("a"), 0, { text: "hello" }));
  assert(!writer.add(EVENT, utf8("a"), 0, "x".repeat(BUNDLE_SIZE)));
  assertThrows(() => writer.add(EVENT, utf8("a"), 0, 1n), TypeError);
  assertEquals(read(writer.take().payload), [{
    event: "a",
    request: NO_REQUEST,
    data: plain.encode({ text: "hello" }),
  }]);
});

Deno.test("readBundle() refuses every truncation with a SyntaxError or reads a prefix", () => {
  const whole = mixed();
  const all = read(whole);
  for (let length = 0; length < whole.length; length++) {
    let entries: Entry[] = [];
    try {
      entries = read(whole.slice(0, length));
    } catch (error) {
      assert(error instanceof SyntaxError, `at ${length}: ${error}`);
      continue;
    }
    assertEquals(entries, all.slice(0, entries.length));
  }
});

Deno.test("readBundle() gives nothing but a SyntaxError for random bytes", () => {
  const random = seededRandom(5);
  let read1 = 0;
  for (let i = 0; i < 20_000; i++) {
    const bytes = i % 2 === 0
      ? Uint8Array.from(
        { length: Math.floor(random() * 64) },
        () => Math.floor(random() * 256),
      )
      : mixed();
    if (i % 2 === 1) {
      for (let flips = 1 + i % 3; flips > 0; flips--) {
        bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
      }
    } else if (bytes.length > 1) {
      bytes.set([1, 0]);
    }
    try {
      read(bytes);
      read1++;
    } catch (error) {
      assert(error instanceof SyntaxError, String(error));
    }
  }
  assert(read1 > 0 && read1 < 20_000);
});

Deno.test("readBundle() refuses what a writer never writes", () => {
  const bad: Record<string, number[]> = {
    "no header": [],
    "half a header": [1],
    "flags": [1, 1],
    "an unknown type": [1, 0, 4, 255, 0, 0, 0, 0, 0, 0, 0, 0],
    "an event without a name": [1, 0, 0, 255, 0, 0, 0, 0],
    "a name that was not given": [1, 0, 0, 0, 0, 0, 0, 0],
    "an empty name": [1, 0, 0, 254, 0, 0, 0, 0, 0],
    "a name that is no UTF-8": [1, 0, 0, 254, 0, 0, 0, 0, 1, 0xff],
    "a name cut short": [1, 0, 0, 254, 0, 0, 0, 0, 5, 0x61],
    "a reply with a name": [1, 0, 2, 254, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0x61],
    "a length beyond the end": [1, 0, 0, 254, 0, 0, 0, 9, 1, 0x61, 0],
    "the longest length": [1, 0, 0, 254, 255, 255, 255, 255, 1, 0x61, 0],
    "data where there is none": [1, 0, 0x80, 254, 0, 0, 0, 1, 1, 0x61, 0],
    "a request without an id": [1, 0, 1, 254, 0, 0, 0, 0, 0, 0],
  };
  for (const [what, bytes] of Object.entries(bad)) {
    assertThrows(
      () => read(Uint8Array.from(bytes)),
      SyntaxError,
      "Cannot read a bundle",
      what,
    );
  }
});
