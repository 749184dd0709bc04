import { assertEquals } from "@std/assert";
import { Guard, type Guarded } from "./_map_guard.ts";
import { VirtualClock } from "./_virtual_clock.ts";
import type { Lane } from "./types.ts";

function guarded(length = 1, lane: Lane = "data"): Guarded {
  return { packet: new Uint8Array(length), lane, isAlone: true };
}

class Bench {
  readonly clock = new VirtualClock();
  readonly marks: string[] = [];
  isFull = false;
  readonly guard = new Guard(this.clock, (lane, number) => {
    if (!this.isFull) this.marks.push(`${lane} ${number}`);
    return !this.isFull;
  });
}

Deno.test("Guard asks once for all packets of 100 ms, for each lane", () => {
  const { clock, marks, guard } = new Bench();
  for (let i = 0; i < 10; i++) guard.add(guarded());
  guard.add(guarded(1, "control"));
  clock.tick(99);
  assertEquals(marks, []);
  clock.tick(1);
  assertEquals(marks, ["control 1", "data 10"]);
  clock.tick(1000);
  assertEquals(marks.length, 2);
});

Deno.test("Guard asks at once after 64 packets, and after 256 KiB", () => {
  const { marks, guard } = new Bench();
  for (let i = 0; i < 64; i++) guard.add(guarded());
  assertEquals(marks, ["data 64"]);
  guard.add(guarded(262_144));
  assertEquals(marks, ["data 64", "data 65"]);
});

Deno.test("Guard gives out what was not confirmed, in order", () => {
  const { guard } = new Bench();
  const sent = [guarded(), guarded(), guarded(), guarded(1, "control")];
  for (const one of sent) guard.add(one);
  guard.confirm("data", 1);
  guard.confirm("data", 0);
  assertEquals(guard.isEmpty, false);
  guard.stop();
  assertEquals(guard.take(), [sent[3], sent[1], sent[2]]);
  assertEquals(guard.isEmpty, true);
});

Deno.test("Guard takes a confirmation of more than was sent for all of it", () => {
  const { guard } = new Bench();
  guard.add(guarded());
  guard.confirm("data", 2 ** 50);
  assertEquals(guard.isEmpty, true);
  guard.add(guarded());
  assertEquals(guard.isEmpty, false);
});

Deno.test("Guard has no room beyond 16,384 packets or 8 MiB", () => {
  const many = new Bench().guard;
  for (let i = 0; i < 16_384; i++) many.add(guarded());
  assertEquals([many.hasRoom("data"), many.hasRoom("control")], [false, true]);
  many.confirm("data", 1);
  assertEquals(many.hasRoom("data"), true);

  const large = new Bench().guard;
  for (let i = 0; i < 8; i++) large.add(guarded(2 ** 20));
  assertEquals(large.hasRoom("data"), false);
  large.confirm("data", 1);
  assertEquals(large.hasRoom("data"), true);
});

Deno.test("Guard.remind() asks again while nothing is confirmed", () => {
  const { clock, marks, guard } = new Bench();
  guard.add(guarded());
  clock.tick(100);
  guard.remind();
  assertEquals(marks, ["data 1", "data 1"]);
  guard.confirm("data", 1);
  guard.remind();
  assertEquals(marks.length, 2);
});

Deno.test("Guard asks later where there was no room for a mark", () => {
  const bench = new Bench();
  const { clock, marks, guard } = bench;
  bench.isFull = true;
  guard.add(guarded());
  clock.tick(100);
  bench.isFull = false;
  guard.remind();
  assertEquals(marks, ["data 1"]);
});
