import { assert, assertEquals } from "@std/assert";
import { Reader, Writer } from "./_bytes.ts";
import { aliveItem, DEAD, Item, readNews } from "./_swim_codec.ts";
import { Gossip } from "./_swim_gossip.ts";

function may(): boolean {
  return true;
}

function dead(id: string, incarnation = 1): Item {
  return new Item({ kind: DEAD, id, incarnation });
}

/** Whose news the next message carries. */
function told(gossip: Gossip, limit = 2): string[] {
  const writer = new Writer();
  gossip.write(writer, "x", may);
  gossip.sent(limit);
  return readNews(new Reader(writer.take()), "x", { wants: may }).map((
    { id, incarnation },
  ) => id + incarnation);
}

Deno.test("Gossip tells each piece of news so many times", () => {
  const gossip = new Gossip(100, () => {});
  gossip.add(dead("a"));
  assertEquals([told(gossip), told(gossip), told(gossip)], [
    ["a1"],
    ["a1"],
    [],
  ]);
  assertEquals(gossip.size, 0);
});

Deno.test("Gossip tells later news of a node instead of earlier", () => {
  const gossip = new Gossip(100, () => {});
  gossip.add(dead("a"));
  assertEquals(told(gossip), ["a1"]);
  gossip.add(dead("a", 2));
  assertEquals(gossip.size, 1);
  assertEquals([told(gossip), told(gossip), told(gossip)], [
    ["a2"],
    ["a2"],
    [],
  ]);
});

Deno.test("Gossip does not count what was not sent", () => {
  const gossip = new Gossip(100, () => {});
  gossip.add(dead("a"));
  for (let i = 0; i < 10; i++) gossip.write(new Writer(), "x", may);
  assertEquals([told(gossip), told(gossip), told(gossip)], [
    ["a1"],
    ["a1"],
    [],
  ]);
});

Deno.test("Gossip tells first what it told least, in messages of 1,400 bytes", () => {
  const gossip = new Gossip(1000, () => {});
  const ids = Array.from({ length: 100 }, (_, i) => `${i}`.padStart(50, "n"));
  for (const id of ids) gossip.add(dead(id));
  const writer = new Writer();
  gossip.write(writer, "x", may);
  assert(writer.length > 1300 && writer.length <= 1400, `${writer.length}`);
  const heard: string[] = [];
  while (heard.length < 100) heard.push(...told(gossip, 9));
  assertEquals(new Set(heard.slice(0, 100)).size, 100);
  gossip.add(dead("fresh"));
  assertEquals(told(gossip, 9)[0], "fresh1");
});

Deno.test("Gossip tells a piece of news that is too long for the rest alone", () => {
  const gossip = new Gossip(10, () => {});
  const addresses = Array.from({ length: 8 }, () => "x".repeat(256));
  for (const id of ["a", "b"]) {
    gossip.add(aliveItem({ id, incarnation: 7, addresses }));
  }
  assertEquals([told(gossip, 1), told(gossip, 1), told(gossip, 1)], [
    ["a7"],
    ["b7"],
    [],
  ]);
});

Deno.test("Gossip is bounded", () => {
  const gossip = new Gossip(3, () => {});
  const kept = ["a", "b", "c", "d"].map((id) => gossip.add(dead(id)));
  assertEquals(kept, [true, true, true, false]);
  assertEquals(told(gossip), ["b1", "c1", "d1"]);
  assertEquals(gossip.add(dead("e")), false);
  assertEquals(told(gossip), ["e1", "c1", "d1"]);
});
