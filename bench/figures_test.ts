import { assertEquals } from "@std/assert";
import { fitting, median, medians } from "./figures.ts";

Deno.test("median() takes the middle one, whatever the order", () => {
  assertEquals(median([10, 9, 1]), 9);
  assertEquals(median([4, 3, 2, 1]), 3);
  assertEquals(median([]), NaN);
});

Deno.test("medians() takes each figure by itself, and those alone that all have", () => {
  const samples = [
    { rate: 1, p50: 30, brokerCpu: 1 },
    { rate: 2, p50: 10 },
    { rate: 3, p50: 20 },
  ];
  assertEquals(medians(samples), { rate: 2, p50: 20 });
});

Deno.test("fitting() rounds to two digits, and up to one message", () => {
  assertEquals(fitting(1_234_567, 700), 860_000);
  assertEquals(fitting(535, 1_000), 540);
  assertEquals(fitting(0.1, 1_000), 1);
});
