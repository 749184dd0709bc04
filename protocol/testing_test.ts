import { assert, assertEquals } from "@std/assert";
import * as fc from "fast-check";
import { plainData } from "./_plain_data.ts";
import { hostileVectors, vectors } from "./testing.ts";

Deno.test("vectors and hostileVectors have names of their own, and whole bytes", () => {
  const all = [...vectors, ...hostileVectors];
  assertEquals(new Set(all.map(({ name }) => name)).size, all.length);
  for (const { hex } of all) assertEquals(hex.length % 2, 0);
});

Deno.test("plainData() makes every kind of value but those that are left out", () => {
  assertEquals(kinds(plainData()), {
    bigint: true,
    bytes: true,
    nonFinite: true,
    nested: true,
  });
  const skip = { bytes: "", bigint: "", "non-finite": "" };
  assertEquals(kinds(plainData(skip)), {
    bigint: false,
    bytes: false,
    nonFinite: false,
    nested: true,
  });
});

function kinds(data: fc.Arbitrary<unknown>): Record<string, boolean> {
  const found = {
    bigint: false,
    bytes: false,
    nonFinite: false,
    nested: false,
  };
  const visit = (value: unknown, depth: number): void => {
    found.nested ||= depth > 2;
    found.bigint ||= typeof value === "bigint";
    found.nonFinite ||= typeof value === "number" && !Number.isFinite(value);
    found.bytes ||= value instanceof Uint8Array;
    if (
      typeof value !== "object" || value === null || value instanceof Uint8Array
    ) return;
    for (const inner of Object.values(value)) visit(inner, depth + 1);
  };
  const samples = fc.sample(data, { seed: 1, numRuns: 2000 });
  assert(samples.length === 2000);
  for (const sample of samples) visit(sample, 0);
  return found;
}
