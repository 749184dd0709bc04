import {
  assert,
  assertEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import * as fc from "fast-check";
import type { Codec } from "@devts/protocol";
import { json } from "@devts/protocol/json";
import { msgpackr } from "@devts/protocol/msgpackr";
import { seededRandom } from "@devts/routing/testing";
import {
  type Bundle,
  BUNDLE_SIZE,
  BundleWriter,
  DELIVERY,
  EVENT,
  FAILURE,
  NO_REQUEST,
  readBundle,
  RECEIPT,
  REPLY,
  REQUEST,
  requestsIn,
} from "./bundle.ts";
import {
  EXTRA_DELIVERY,
  EXTRA_HEADERS,
  MAX_EXTRAS,
  writeExtras,
} from "./extras.ts";
import { type Slab, SlabPool } from "./slab.ts";

const codec = msgpackr();

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** An entry as a reader sees it. */
type Entry =
  & { readonly extras?: Uint8Array }
  & (
    | {
      readonly event: string;
      readonly request: number;
      readonly data: Uint8Array | null;
    }
    | {
      readonly reply: number;
      readonly failed: boolean;
      readonly data: Uint8Array | null;
    }
    | {
      readonly delivery: string;
      readonly id: number;
      readonly data: Uint8Array | null;
    }
    | { readonly receipt: number; readonly data: Uint8Array | null }
  );

function read(payload: Uint8Array): Entry[] {
  const entries: Entry[] = [];
  const cut = (start: number, end: number) =>
    start < 0 ? null : payload.slice(start, end);
  let extras: { readonly extras?: Uint8Array } = {};
  const push = (entry: Entry): void => {
    entries.push({ ...entry, ...extras });
    extras = {};
  };
  readBundle<string>(payload, {
    resolve: (name) => name,
    extras: (start, end) => {
      extras = { extras: payload.slice(start, end) };
    },
    event: (event, request, _alone, start, end) =>
      push({ event, request, data: cut(start, end) }),
    reply: (reply, failed, start, end) =>
      push({ reply, failed, data: cut(start, end) }),
    delivery: (delivery, id, start, end) =>
      push({ delivery, id, data: cut(start, end) }),
    receipt: (receipt, start, end) => push({ receipt, data: cut(start, end) }),
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
  writer.addBytes(DELIVERY, say, 7, Uint8Array.of(1));
  writer.addBytes(RECEIPT, null, 8, Uint8Array.of(0));
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
      4, 0, 0, 0, 0, 1, 0, 0, 0, 7, 1,
      5, 255, 0, 0, 0, 1, 0, 0, 0, 8, 0,
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
    { delivery: "say", id: 7, data: Uint8Array.of(1) },
    { receipt: 8, data: Uint8Array.of(0) },
  ]);
});

/** Extras of two kinds, one of which nobody knows. */
const EXTRAS = writeExtras([
  [EXTRA_HEADERS, Uint8Array.of(0x81, 0xa1, 0x61, 0xa1, 0x62)],
  [0xee, Uint8Array.of(9)],
]);

/** A bundle in which entries of each kind have extras, between some that have none. */
function mixedWithExtras(): Uint8Array {
  const writer = new BundleWriter(codec, 0);
  const say = utf8("say");
  writer.add(EVENT, say, 0, "hi", EXTRAS);
  writer.add(EVENT, say, 0, undefined, EXTRAS);
  writer.add(EVENT, say, 0, 1);
  writer.add(REQUEST, utf8("sum"), 7, 7, EXTRAS);
  writer.addBytes(REPLY, null, 8, Uint8Array.of(2), EXTRAS);
  writer.addBytes(FAILURE, null, 9, null);
  writer.add(EVENT, say, 0, 2, new Uint8Array(0));
  return writer.take().payload;
}

Deno.test("BundleWriter writes extras between the name and the data", () => {
  const writer = new BundleWriter(codec, 0);
  const delivery = writeExtras([[EXTRA_DELIVERY, Uint8Array.of(5)]]);
  writer.add(EVENT, utf8("a"), 0, 7, delivery);
  writer.add(REQUEST, utf8("b"), 1, undefined, delivery);
  assertEquals(
    writer.take().payload,
    // deno-fmt-ignore
    Uint8Array.of(
      1, 0,
      0x40, 254, 0, 0, 0, 1, 1, 0x61, 0, 4, 3, 0, 1, 5, 7,
      0xc1, 254, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0x62, 0, 4, 3, 0, 1, 5,
    ),
  );
});

Deno.test("readBundle() tells the extras of each entry before it", () => {
  const say = { event: "say", request: NO_REQUEST };
  assertEquals(read(mixedWithExtras()), [
    { ...say, data: codec.encode("hi"), extras: EXTRAS },
    { ...say, data: null, extras: EXTRAS },
    { ...say, data: codec.encode(1) },
    { event: "sum", request: 7, data: codec.encode(7), extras: EXTRAS },
    { reply: 8, failed: false, data: Uint8Array.of(2), extras: EXTRAS },
    { reply: 9, failed: true, data: null },
    { ...say, data: codec.encode(2), extras: new Uint8Array(0) },
  ]);
});

Deno.test("BundleWriter takes the longest extras, in a bundle or alone", () => {
  const name = utf8("n".repeat(255));
  const extras = writeExtras([[1, new Uint8Array(MAX_EXTRAS - 3).fill(6)]]);
  const writer = new BundleWriter(codec, 4, { firstSlab: 4_096 });
  for (let i = 0; i < 100; i++) {
    if (!writer.add(EVENT, name, 0, i, extras)) {
      assert(writer.count > 0);
      writer.take();
      assert(writer.add(EVENT, name, 0, i, extras));
    }
  }
  const last = read(writer.take().payload).at(-1);
  assertEquals(last?.data, codec.encode(99));
  assertEquals(last?.extras, extras);
  const { payload } = writer.single(
    REQUEST,
    name,
    3,
    new Uint8Array(100_000).fill(4),
    extras,
  );
  assertEquals(read(payload), [{
    event: "n".repeat(255),
    request: 3,
    data: new Uint8Array(100_000).fill(4),
    extras,
  }]);
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
  // Ten fit into one, and fewer where a slab ends.
  assert(bundles <= 12, `${bundles} bundles`);
});

Deno.test("BundleWriter fills slab after slab, each twice as long, up to the largest", () => {
  const headroom = 4;
  const sizes = { firstSlab: 8_192, largestSlab: 65_536 };
  const writer = new BundleWriter(codec, headroom, sizes);
  const lengths: number[] = [];
  let last: Slab | null = null;
  for (let i = 0; i < 400; i++) {
    assert(writer.add(EVENT, utf8("n"), 0, new Uint8Array(1_000)));
    const { slab } = writer.take();
    assert(slab !== null);
    if (slab !== last) lengths.push(slab.bytes.length - headroom);
    last = slab;
  }
  assertEquals(lengths.slice(0, 5), [8_192, 16_384, 32_768, 65_536, 65_536]);
  assertEquals(Math.max(...lengths), 65_536);
});

Deno.test("BundleWriter cuts bundles out of a slab one right behind the other", () => {
  const writer = new BundleWriter(codec, 4);
  let end: number | null = null;
  for (let i = 0; i < 100; i++) {
    writer.add(EVENT, utf8("n"), 0, i);
    const { message } = writer.take();
    assertEquals(message.byteOffset, end ?? 0);
    end = message.byteOffset + message.length;
  }
});

Deno.test("BundleWriter.add() takes one long value into a slab that has grown, and nothing behind it", () => {
  const sizes = { firstSlab: 8_192, largestSlab: 500_000 };
  const writer = new BundleWriter(codec, 4, sizes);
  const long = new Uint8Array(400_000).fill(7);
  let refused = 0;
  while (!writer.add(EVENT, utf8("long"), 0, long)) {
    assertEquals(writer.count, 0);
    assert(refused++ < 10);
  }
  assertEquals(writer.length, 400_000 + 5 + 2 + 6 + 5);
  assert(!writer.add(EVENT, utf8("n"), 0, 1), "the bundle is full");
  assert(!writer.addBytes(FAILURE, null, 1, Uint8Array.of(1)));
  assertEquals(read(writer.take().payload), [
    { event: "long", request: NO_REQUEST, data: codec.encode(long) },
  ]);
  assert(writer.add(EVENT, utf8("n"), 0, 1));
  assertEquals(read(writer.take().payload)[0]?.data, codec.encode(1));
  // Never more than the largest slab holds.
  const most = new Uint8Array(499_900);
  for (let i = 0; i < 10; i++) {
    assert(!writer.add(EVENT, utf8("n"), 0, new Uint8Array(500_000)));
    assert(!writer.addBytes(EVENT, utf8("n"), 0, new Uint8Array(500_000)));
  }
  assert(writer.add(EVENT, utf8("n"), 0, most));
  assert(writer.take().message.length <= 500_004);
});

Deno.test("BundleWriter.add() makes no bundle longer than it may, however long its slab is", () => {
  const longest = 150_000;
  for (const plain of [codec, json()]) {
    const writer = new BundleWriter(plain, 4, { longest });
    const name = utf8("n");
    // Slabs grow.
    for (let i = 0; i < 200; i++) {
      writer.add(EVENT, name, 0, "x".repeat(10_000));
      writer.take();
    }
    let most = 0;
    for (let size = longest - 300; size < longest + 300; size++) {
      const text = "x".repeat(size);
      for (let time = 0; time < 2; time++) {
        if (!writer.add(EVENT, name, 0, text)) continue;
        most = Math.max(most, writer.take().payload.length);
      }
    }
    assertEquals(most, longest);
  }
});

Deno.test("BundleWriter.length says how long the open bundle is", () => {
  const writer = new BundleWriter(codec, 4);
  assertEquals(writer.length, 0);
  for (let i = 0; i < 3; i++) {
    writer.add(EVENT, utf8("n"), 0, "text");
    writer.addBytes(FAILURE, null, 1, new Uint8Array(i));
    const { length } = writer;
    assertEquals(length, writer.take().payload.length);
    assertEquals(writer.length, 0);
  }
});

Deno.test("BundleWriter.lastData is the data of the entry added last", () => {
  const writer = new BundleWriter(codec, 4);
  const name = utf8("n");
  assertEquals(writer.lastData, null);
  const values = [1, "text", { a: [new Uint8Array(300)] }, "", null];
  for (const value of values) {
    writer.add(EVENT, name, 0, value);
    assertEquals(writer.lastData, codec.encode(value));
    writer.add(EVENT, name, 0, undefined);
    assertEquals(writer.lastData, null);
    writer.addBytes(FAILURE, null, 1, Uint8Array.of(1, 2));
    assertEquals(writer.lastData, Uint8Array.of(1, 2));
    writer.addBytes(REPLY, null, 1, new Uint8Array(0));
    assertEquals(writer.lastData, new Uint8Array(0));
    writer.addBytes(REPLY, null, 1, null);
    assertEquals(writer.lastData, null);
  }
  // Also where it brought a slab of its own.
  writer.take();
  writer.add(EVENT, name, 0, new Uint8Array(65_000));
  assertEquals(writer.lastData, codec.encode(new Uint8Array(65_000)));
});

Deno.test("BundleWriter.lastData is right where the codec does not work in place", () => {
  const plain: Codec = json();
  const writer = new BundleWriter(plain, 4);
  writer.add(EVENT, utf8("n"), 0, { a: 1 });
  assertEquals(writer.lastData, plain.encode({ a: 1 }));
});

Deno.test("BundleWriter.copy() begins with another one's open bundle, from which both go on", () => {
  const names = Array.from({ length: 300 }, (_, i) => utf8(`n${i}`));
  const value = fc.oneof(
    fc.string(),
    fc.uint8Array({ maxLength: 2_000 }),
    fc.constant(undefined),
  );
  const entry = fc.tuple(fc.nat(names.length - 1), value);
  const entries = fc.array(entry, { maxLength: 30 });
  const fill = (
    writer: BundleWriter,
    list: readonly (readonly [number, unknown])[],
  ) =>
    list.filter(([index, value]) => {
      const name = names[index];
      assert(name !== undefined);
      return writer.add(EVENT, name, 0, value);
    }).map(([index, value]) => ({
      event: `n${index}`,
      request: NO_REQUEST,
      data: value === undefined ? null : codec.encode(value),
    }));
  fc.assert(
    fc.property(
      fc.array(entry, { minLength: 1, maxLength: 60 }),
      entries,
      entries,
      fc.nat(40),
      fc.constantFrom(4_096, 65_536),
      (common, own, others, before, first) => {
        const pool = new SlabPool();
        const other = new BundleWriter(codec, 4, { pool });
        const writer = new BundleWriter(codec, 4, {
          pool,
          firstSlab: first,
          largestSlab: 262_144,
        });
        // It stands anywhere in a slab, or has none yet.
        for (let i = 0; i < before; i++) {
          writer.add(EVENT, utf8("x"), 0, new Uint8Array(100 * (i % 20)));
          writer.take();
        }
        const both = fill(other, common);
        writer.copy(other);
        assertEquals(writer.count, other.count);
        assertEquals(writer.length, other.length);
        const more = fill(writer, own);
        const rest = fill(other, others);
        const mine = writer.take();
        assertEquals(mine.count, both.length + more.length);
        assertEquals(mine.message.length, mine.payload.length + 4);
        assertEquals(read(mine.payload), [...both, ...more]);
        assertEquals(read(other.take().payload), [...both, ...rest]);
      },
    ),
    { seed: 1, numRuns: 200 },
  );
});

Deno.test("BundleWriter.copy() takes a full bundle into the smallest slab", () => {
  const other = new BundleWriter(codec, 4);
  while (other.add(EVENT, utf8("n"), 0, new Uint8Array(1_000)));
  const writer = new BundleWriter(codec, 4, {
    firstSlab: 4_096,
    largestSlab: 131_072,
  });
  writer.copy(other);
  assert(!writer.add(EVENT, utf8("n"), 0, new Uint8Array(1_000)));
  const { payload } = writer.take();
  assertEquals(payload, other.take().payload);
  // The next one does not write over it.
  const copy = payload.slice();
  writer.add(EVENT, utf8("n"), 0, 1);
  assertEquals(payload, copy);
  assertEquals(read(writer.take().payload)[0]?.data, codec.encode(1));
});

Deno.test("BundleWriter.rest() lets go of a slab that has grown, and begins small again", () => {
  const pool = new SlabPool();
  const writer = new BundleWriter(codec, 4, { pool });
  const bundles: Bundle[] = [];
  const send = (): Slab => {
    writer.add(EVENT, utf8("n"), 0, new Uint8Array(60_000));
    const bundle = writer.take();
    bundles.push(bundle);
    assert(bundle.slab !== null);
    return bundle.slab;
  };
  const first = send();
  assertEquals(first.bytes.length, 65_540);
  writer.rest();
  writer.add(EVENT, utf8("n"), 0, 1);
  assertStrictEquals(writer.take().slab, first, "a small one stays");
  while (send().bytes.length < 1_048_580);
  const large = bundles.at(-1)?.slab;
  writer.rest();
  assertEquals(send().bytes.length, 65_540);
  // Those who have its bundles let go of it: then nobody has it.
  for (const { slab } of bundles) slab?.release();
  assertStrictEquals(pool.take(1_048_580), large);
});

Deno.test("BundleWriter.rewind() begins its slab again once all have let go of its bundles", () => {
  const writer = new BundleWriter(codec, 4, { firstSlab: 4_096 });
  const send = (): Bundle => {
    writer.add(EVENT, utf8("n"), 0, 1);
    return writer.take();
  };
  const first = send();
  first.slab?.release();
  writer.rewind();
  const second = send();
  assertStrictEquals(second.slab, first.slab);
  assertEquals(second.message.byteOffset, first.message.byteOffset);
  writer.rewind();
  assert(send().slab !== first.slab, "somebody has a bundle of it");
});

Deno.test("BundleWriter writes into a slab again only when all have let go of its bundles", () => {
  const step = fc.record({
    size: fc.oneof(
      { weight: 5, arbitrary: fc.nat(200) },
      { weight: 1, arbitrary: fc.nat(9_000) },
    ),
    take: fc.boolean(),
    /** How many have the bundle, beside who took it. */
    users: fc.nat(2),
    /** Which of those who have one lets go of it, and how many do. */
    who: fc.nat(),
    letGo: fc.nat(4),
    writer: fc.nat(1),
  });
  let again = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 100, maxLength: 300 }), (steps) => {
      const pool = new SlabPool();
      const sizes = { pool, firstSlab: 8_192, largestSlab: 16_384 };
      const writers = [0, 1].map(() => new BundleWriter(codec, 4, sizes));
      const held: { bundle: Bundle; copy: Uint8Array }[] = [];
      const seen = new Map<Slab, number>();
      for (
        const [i, { size, take, users, who, letGo, writer }] of steps.entries()
      ) {
        const [one] = writers.slice(writer, writer + 1);
        assert(one !== undefined);
        const data = new Uint8Array(size).fill(i);
        let added = one.add(EVENT, utf8("n"), 0, data);
        if ((take || !added) && one.count > 0) {
          const bundle = one.take();
          // Whoever takes it writes the header.
          bundle.message.fill(0xee, 0, 4);
          const copy = bundle.message.slice();
          for (let user = 0; user < users; user++) bundle.slab?.retain();
          for (let user = 0; user <= users; user++) held.push({ bundle, copy });
          if (bundle.slab) {
            const at = bundle.message.byteOffset;
            if (at < (seen.get(bundle.slab) ?? 0)) again++;
            seen.set(bundle.slab, at);
          }
        }
        if (!added) added = one.add(EVENT, utf8("n"), 0, data);
        assert(added);
        for (let n = 0; n < letGo && held.length > 0; n++) {
          const [gone] = held.splice(who % held.length, 1);
          assert(gone !== undefined);
          assertEquals(gone.bundle.message, gone.copy);
          gone.bundle.slab?.release();
        }
      }
      for (const { bundle, copy } of held) assertEquals(bundle.message, copy);
    }),
    { seed: 2, numRuns: 100 },
  );
  assert(again > 20, `only ${again} slabs were used again`);
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
  for (const whole of [mixed(), mixedWithExtras()]) {
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
      : i % 4 === 1
      ? mixed()
      : mixedWithExtras();
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
    "extras without a length": [1, 0, 0x40, 254, 0, 0, 0, 0, 1, 0x61, 0],
    "extras beyond the end": [
      1,
      0,
      0x40,
      254,
      0,
      0,
      0,
      0,
      1,
      0x61,
      0,
      4,
      1,
      0,
      0,
    ],
    "an extra beyond the extras": [
      1,
      0,
      0x40,
      254,
      0,
      0,
      0,
      1,
      1,
      0x61,
      0,
      3,
      1,
      0,
      1,
      7,
    ],
    "half an extra": [1, 0, 0x40, 254, 0, 0, 0, 1, 1, 0x61, 0, 1, 1, 7],
    "an unknown type with extras": [
      1,
      0,
      0x60,
      255,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
    ],
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

Deno.test("requestsIn() finds the requests of a bundle, as far as its head shows them", () => {
  const writer = new BundleWriter(codec, 0);
  const name = utf8("name");
  writer.add(EVENT, name, 0, "x".repeat(20));
  writer.add(REQUEST, name, 7, [1, 2, 3]);
  writer.add(REPLY, null, 8, 1);
  writer.add(REQUEST, utf8("other"), 2 ** 32 - 1, undefined);
  const { payload } = writer.take();
  assertEquals(requestsIn(payload), [7, 2 ** 32 - 1]);
  for (let end = 0; end <= payload.length; end++) {
    const ids = requestsIn(payload.subarray(0, end));
    assertEquals(ids, [7, 2 ** 32 - 1].slice(0, ids.length));
  }
  assertEquals(requestsIn(mixedWithExtras()), [7]);
  const random = seededRandom(5);
  for (let i = 0; i < 1000; i++) {
    requestsIn(new Uint8Array(300).map(() => random() * 256));
  }
});
