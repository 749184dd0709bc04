import { assertEquals } from "@std/assert";
import { VirtualClock } from "@devts/routing/testing";
import { History } from "./_history.ts";

Deno.test("History remembers the last error of a node, and when", () => {
  const clock = new VirtualClock();
  const history = new History(clock);
  history.failed("ada", "one");
  clock.tick(5);
  history.failed("ada", "x".repeat(10_000));
  assertEquals(history.errorOf("ada"), { reason: "x".repeat(500), at: 5 });
  assertEquals(history.errorOf("__proto__"), null);
});

Deno.test("History tells who is gone until it is back", () => {
  const history = new History(new VirtualClock());
  history.gone("7", "failed");
  history.gone("ada", "left");
  history.failed("bob", "why");
  assertEquals([...history.lost()], ["7", "ada"]);
  history.joined("7");
  history.joined("nobody");
  assertEquals([...history.lost()], ["ada"]);
  assertEquals([history.leaveOf("7"), history.leaveOf("ada")], [null, "left"]);
});

Deno.test("History forgets what is longest ago", () => {
  const history = new History(new VirtualClock());
  for (let i = 0; i < 1024; i++) history.gone(`${i}`, "left");
  history.failed("0", "again");
  history.gone("one more", "left");
  assertEquals([history.leaveOf("0"), history.leaveOf("1")], ["left", null]);
  assertEquals([...history.lost()].length, 1024);
});
