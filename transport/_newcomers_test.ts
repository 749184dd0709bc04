import { assertEquals } from "@std/assert";
import { Newcomers } from "./_newcomers.ts";

Deno.test("Newcomers gives up the one that came first, once it has had 500 ms", () => {
  const givenUp: string[] = [];
  const newcomers = new Newcomers<string>(2, (name) => givenUp.push(name));
  assertEquals(newcomers.giveUpOldest(0), false);
  newcomers.add("ada", 0);
  assertEquals(newcomers.isFull, false);
  newcomers.add("bob", 400);
  assertEquals(newcomers.isFull, true);
  assertEquals(newcomers.giveUpOldest(499), false);
  assertEquals(newcomers.giveUpOldest(500), true);
  assertEquals(newcomers.giveUpOldest(500), false);
  assertEquals([givenUp, newcomers.size], [["ada"], 1]);
});

Deno.test("Newcomers gives up nobody who has left", () => {
  const givenUp: string[] = [];
  const newcomers = new Newcomers<string>(2, (name) => givenUp.push(name));
  newcomers.add("ada", 0);
  newcomers.add("bob", 0);
  assertEquals(newcomers.delete("ada"), true);
  assertEquals(newcomers.delete("ada"), false);
  assertEquals(newcomers.giveUpOldest(500), true);
  assertEquals(newcomers.delete("bob"), false);
  assertEquals(givenUp, ["bob"]);
});

Deno.test("Newcomers finds one that takes itself out while it is given up", () => {
  const left: boolean[] = [];
  const newcomers = new Newcomers<string>(
    2,
    (name) => left.push(newcomers.delete(name)),
  );
  newcomers.add("ada", 0);
  newcomers.add("bob", 0);
  newcomers.giveUpAll();
  assertEquals([left, newcomers.size], [[true, true], 0]);
});
