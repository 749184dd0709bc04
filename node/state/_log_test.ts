import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { Log } from "./_log.ts";

Deno.test("Log.after() finds where higher numbers begin, whatever the order in which they came", () => {
  const number = fc.oneof(
    fc.nat(50),
    fc.nat(2 ** 20),
    fc.integer({ min: 2 ** 44, max: 2 ** 48 }),
  );
  fc.assert(
    fc.property(fc.array(number, { maxLength: 400 }), number, (numbers, at) => {
      const log = new Log();
      numbers.forEach((one, slot) => log.add(one, slot));
      const told: [number, number][] = [];
      for (let i = log.after(-1); i < log.length; i++) {
        told.push([log.number(i), log.slot(i)]);
      }
      const sorted = numbers.map((one, slot): [number, number] => [one, slot])
        .sort(([a, i], [b, j]) => a - b || i - j);
      assertEquals(told, sorted);
      assertEquals(
        log.after(at),
        numbers.filter((one) => one <= at).length,
      );
    }),
  );
});

Deno.test("Log.sweep() and shift() keep the order", () => {
  const log = new Log();
  for (let i = 0; i < 1_000; i++) log.add((i * 617) % 1_000, i);
  log.sweep((number) => number % 2 === 0);
  assertEquals([log.length, log.after(99)], [500, 50]);
  log.shift(50);
  assertEquals([log.length, log.number(0)], [450, 100]);
});
