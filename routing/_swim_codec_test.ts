import { assertEquals, assertThrows } from "@std/assert";
import { MalformedError, Reader, Writer } from "./_bytes.ts";
import {
  ALIVE,
  aliveItem,
  DEAD,
  Item,
  LEFT,
  type News,
  type NewsFilter,
  readNews,
  SUSPECT,
} from "./_swim_codec.ts";
import type { Peer } from "./types.ts";

const EVERYTHING: NewsFilter = { wants: () => true };

function peer(id: string, incarnation = 7): Peer {
  return { id, incarnation, addresses: [`virtual://${id}`] };
}

function may(): boolean {
  return true;
}

function bytesOf(...items: readonly Item[]): Uint8Array {
  const writer = new Writer();
  for (const item of items) writer.raw(item.bytesFor("x", may));
  return writer.take();
}

function parse(bytes: Uint8Array, filter = EVERYTHING): readonly News[] {
  return readNews(new Reader(bytes), "x", filter);
}

Deno.test("readNews() reads what an Item writes", () => {
  const whole: Peer = {
    ...peer("a", Number.MAX_SAFE_INTEGER),
    meta: new Uint8Array(512).fill(9),
  };
  const all: News[] = [
    { kind: ALIVE, id: "a", incarnation: whole.incarnation, peer: whole },
    { kind: SUSPECT, id: "b", incarnation: 0, accusers: ["c", "d"] },
    { kind: DEAD, id: "c", incarnation: 3 },
    { kind: LEFT, id: "d".repeat(64), incarnation: 4 },
  ];
  assertEquals(parse(bytesOf(...all.map((news) => new Item(news)))), all);
  assertEquals(parse(new Uint8Array()), []);
});

Deno.test("readNews() passes over records that nobody wants", () => {
  const bytes = bytesOf(
    aliveItem(peer("a")),
    aliveItem({ ...peer("b"), meta: new Uint8Array(100) }),
    aliveItem(peer("c")),
  );
  const read = parse(bytes, { wants: (_from, id) => id !== "b" });
  assertEquals(read.map(({ id }) => id), ["a", "c"]);
});

Deno.test("readNews() throws at every cut, and at every impossible field", () => {
  const bytes = bytesOf(
    aliveItem(peer("a")),
    new Item({ kind: SUSPECT, id: "b", incarnation: 1, accusers: ["c"] }),
  );
  const first = aliveItem(peer("a")).bytesFor("x", may).length;
  for (const filter of [EVERYTHING, { wants: () => false }]) {
    for (let end = 1; end < bytes.length; end++) {
      if (end === first) continue;
      assertThrows(() => parse(bytes.subarray(0, end), filter), MalformedError);
    }
  }
  const bad = [
    new Writer().u8(9).string("a").u53(1),
    new Writer().u8(DEAD).string("").u53(1),
    new Writer().u8(DEAD).string("a b").u53(1),
    new Writer().u8(DEAD).string("a".repeat(65)).u53(1),
    new Writer().u8(DEAD).string("a").u32(2 ** 31).u32(0),
    new Writer().u8(SUSPECT).string("a").u53(1).u8(0),
    new Writer().u8(SUSPECT).string("a").u53(1).u8(9),
    new Writer().u8(ALIVE).string("a").u53(1).u8(9),
    new Writer().u8(ALIVE).string("a").u53(1).u8(0).u16(513),
  ];
  for (const writer of bad) {
    assertThrows(() => parse(writer.take()), MalformedError);
  }
});

Deno.test("Item keeps back addresses that a node may not know", () => {
  const item = aliveItem({ ...peer("a"), addresses: ["one", "two"] });
  const told = (to: string) => {
    const bytes = item.bytesFor(
      to,
      (id, address) => id === "x" || address === "two",
    );
    const [news] = parse(bytes);
    return news?.kind === ALIVE ? news.peer.addresses : [];
  };
  assertEquals([told("x"), told("y"), told("x")], [["one", "two"], ["two"], [
    "one",
    "two",
  ]]);
});
