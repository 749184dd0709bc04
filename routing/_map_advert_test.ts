import {
  assert,
  assertEquals,
  assertNotEquals,
  assertThrows,
} from "@std/assert";
import { MalformedError, Writer } from "./_bytes.ts";
import {
  compareVersions,
  makeAdvert,
  MAX_NEIGHBOURS,
  readAdvert,
  readVersion,
} from "./_map_advert.ts";

const VERSION = { incarnation: 5, sequence: 7 };

Deno.test("readAdvert() reads what makeAdvert() made", () => {
  const made = makeAdvert("a", VERSION, [["c", 3], ["b", 1]]);
  const read = readAdvert(made.bytes);
  assertEquals(read.origin, "a");
  assertEquals([...read.links], [["b", 1], ["c", 3]]);
  assertEquals([read.incarnation, read.sequence], [5, 7]);
  assertEquals(read.hash, made.hash);
  assertEquals(readVersion(made.bytes), { ...VERSION, origin: "a" });
});

Deno.test("makeAdvert() gives one hash for one content", () => {
  const { hash } = makeAdvert("a", VERSION, [["b", 1], ["c", 3]]);
  const later = { incarnation: 6, sequence: 1 };
  assertEquals(makeAdvert("a", later, [["c", 3], ["b", 1]]).hash, hash);
  assertNotEquals(makeAdvert("a", VERSION, [["b", 1], ["c", 2]]).hash, hash);
  assertNotEquals(makeAdvert("b", VERSION, [["b", 1], ["c", 3]]).hash, hash);
});

Deno.test("makeAdvert() names at most 512 neighbours", () => {
  const many = Array.from(
    { length: 600 },
    (_, i): [string, number] => [`n${i}`, 1],
  );
  const { bytes } = makeAdvert("a", VERSION, many);
  assertEquals(readAdvert(bytes).links.size, MAX_NEIGHBOURS);
});

Deno.test("compareVersions() ranks the incarnation above the sequence", () => {
  assert(compareVersions({ incarnation: 6, sequence: 0 }, VERSION) > 0);
  assert(compareVersions({ incarnation: 5, sequence: 8 }, VERSION) > 0);
  assert(compareVersions({ incarnation: 4, sequence: 9 }, VERSION) < 0);
  assertEquals(compareVersions(VERSION, { ...VERSION }), 0);
});

Deno.test("readAdvert() refuses what no node would tell", () => {
  const refused: Record<string, (writer: Writer) => Writer> = {
    "no links": (writer) => writer.string("a"),
    "too many": (writer) => writer.string("a").u16(MAX_NEIGHBOURS + 1),
    "cut short": (writer) => writer.string("a").u16(2).string("b").u8(1),
    "too long": (writer) => writer.string("a").u16(0).u8(0),
    "free of charge": (writer) => writer.string("a").u16(1).string("b").u8(0),
    "too dear": (writer) => writer.string("a").u16(1).string("b").u8(65),
    "itself": (writer) => writer.string("a").u16(1).string("a").u8(1),
    "twice": (writer) =>
      writer.string("a").u16(2).string("b").u8(1).string("b").u8(2),
    "no id": (writer) => writer.string("").u16(0),
    "a space": (writer) => writer.string("a b").u16(0),
  };
  for (const [why, write] of Object.entries(refused)) {
    const bytes = write(new Writer().u53(5).u32(7)).take();
    assertThrows(() => readAdvert(bytes), MalformedError, undefined, why);
  }
  const absurd = new Writer().u32(2 ** 31).u32(0).u32(7).string("a").u16(0);
  assertThrows(() => readAdvert(absurd.take()), MalformedError);
});
