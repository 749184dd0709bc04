import { assert, assertEquals } from "@std/assert";
import { Reserve } from "./_reserve.ts";

const none = Object.assign(new Error("Too many open files"), {
  code: "EMFILE",
});

Deno.test("Reserve leaves 16 descriptors for a minute once there were none", () => {
  const reserve = new Reserve();
  const ends: (() => void)[] = [];
  const fill = (most: number, now: number): number => {
    while (ends.length < most && !reserve.isFull(now)) {
      ends.push(reserve.hold());
    }
    return ends.length;
  };
  assertEquals(fill(40, 0), 40);
  assertEquals(reserve.isFull(0), false); // who knows how many there are
  reserve.failed(none, 0);
  for (let left = 40; left > 24; left--) {
    assertEquals(reserve.isFull(1), true);
    const end = ends.pop();
    end?.();
    end?.(); // to end twice changes nothing
  }
  assertEquals(reserve.isFull(1), true);
  ends.pop()?.();
  assertEquals(fill(40, 59_999), 24);
  assertEquals(fill(40, 60_000), 40);
});

Deno.test("Reserve always leaves room for one connection", () => {
  const reserve = new Reserve();
  reserve.failed(none, 0);
  assertEquals(reserve.isFull(0), false);
  const end = reserve.hold();
  assertEquals(reserve.isFull(0), true);
  end();
  assertEquals(reserve.isFull(0), false);
});

Deno.test("Reserve holds nothing back for a stranger who left before it was accepted", () => {
  const reserve = new Reserve();
  reserve.hold();
  reserve.failed(new Deno.errors.ConnectionAborted(), 0);
  assert(!reserve.isFull(0));
});
