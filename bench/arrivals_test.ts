import { assertEquals } from "@std/assert";
import { Arrivals, type ArrivalsOptions } from "./arrivals.ts";
import { FIRST, itemOf, SIZES, stamp, template } from "./payload.ts";
import { Values } from "./values.ts";

function arrivals(options: Partial<ArrivalsOptions> = {}): Arrivals {
  return new Arrivals({ cpuTime: () => 0, ...options });
}

function bytesOf(sequence: number): Uint8Array {
  return stamp(template(SIZES.bytes128), sequence);
}

async function wrong(arrivals: Arrivals): Promise<number> {
  return new Values("arrived", await arrivals.arrived()).number("wrong");
}

Deno.test("Arrivals counts what comes in order, and its CPU time", async () => {
  let cpu = 5;
  const own = arrivals({ cpuTime: () => cpu });
  own.expect("bytes128", FIRST, 3);
  for (let i = 0; i < 3; i++) own.addBytes(bytesOf(FIRST + i));
  cpu = 8;
  const { endedAt: _, ...rest } = await own.arrived();
  assertEquals(rest, { cpu: 3, wrong: 0, sum: 3 });
});

Deno.test("Arrivals counts objects as it does bytes", async () => {
  const own = arrivals();
  own.expect("object128", FIRST, 2);
  own.addObject({ ...itemOf(FIRST), s: "" });
  own.addObject(itemOf(FIRST + 1));
  assertEquals(await wrong(own), 1);
});

const WRONG: readonly (readonly [string, number, readonly number[]])[] = [
  ["that is lost", 1, [0, 2]],
  ["that comes twice", 1, [0, 1, 1, 2]],
  ["that comes too late", 3, [1, 0, 2]],
];

for (const [what, expected, order] of WRONG) {
  Deno.test(`Arrivals sees a message ${what}`, async () => {
    const own = arrivals();
    own.expect("bytes128", FIRST, 3);
    for (const index of order) own.addBytes(bytesOf(FIRST + index));
    assertEquals(await wrong(own), expected);
  });
}

Deno.test("Arrivals sees bytes of another length", async () => {
  const own = arrivals();
  own.expect("bytes1k", FIRST, 1);
  own.addBytes(bytesOf(FIRST));
  assertEquals(await wrong(own), 1);
});

Deno.test("Arrivals counts what comes after the last one in the next run", async () => {
  const own = arrivals();
  own.expect("bytes128", FIRST, 1);
  own.addBytes(bytesOf(FIRST));
  assertEquals(await wrong(own), 0);
  own.addBytes(bytesOf(FIRST));
  own.expect("bytes128", FIRST + 1, 1);
  own.addBytes(bytesOf(FIRST + 1));
  assertEquals(await wrong(own), 1);
});

Deno.test("Arrivals compares one message in 1,024 byte by byte", async () => {
  const own = arrivals();
  own.expect("bytes128", FIRST, 2_049);
  for (let i = 0; i < 2_049; i++) {
    const bytes = bytesOf(FIRST + i);
    bytes[64] = 0;
    own.addBytes(bytes);
  }
  assertEquals(await wrong(own), 3);
});

Deno.test("Arrivals sees that bytes which are kept change", async () => {
  for (const keeps of [true, false]) {
    const own = arrivals({ keeps });
    const bytes = bytesOf(FIRST);
    own.expect("bytes128", FIRST, 2);
    own.addBytes(bytes);
    own.addBytes(stamp(bytes, FIRST + 1));
    assertEquals(await wrong(own), keeps ? 1 : 0);
  }
});
