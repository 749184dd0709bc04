import { assert, assertEquals } from "@std/assert";
import type { Timed } from "./_faults.ts";
import { shrink } from "./_shrink.ts";

interface Step extends Timed {
  readonly name: string;
}

function steps(count: number): Step[] {
  return Array.from({ length: count }, (_, number) => ({
    at: 1_000 * number,
    for: 800,
    name: `${number}`,
  }));
}

function failsWith(
  ...names: string[]
): (script: readonly Step[]) => Promise<boolean> {
  return (script) =>
    Promise.resolve(
      names.every((name) => script.some((step) => step.name === name)),
    );
}

Deno.test("shrink() keeps what it takes to fail, and nothing else", async () => {
  for (const names of [["17"], ["3", "60"], ["0", "31", "32", "63"], []]) {
    const { script } = await shrink(steps(64), failsWith(...names), 1_000);
    assertEquals(script.map(({ name }) => name), names);
  }
});

Deno.test("shrink() lets things follow sooner and last shorter, as far as they fail", async () => {
  const { script } = await shrink(steps(10), (script) => {
    const [first, second] = ["4", "8"].map((name) =>
      script.find((step) => step.name === name)
    );
    return Promise.resolve(
      first !== undefined && second !== undefined &&
        second.at - first.at >= 20 && (second.for ?? 0) >= 100,
    );
  }, 1_000);
  assertEquals(script.map(({ name }) => name), ["4", "8"]);
  const [first, second] = script;
  assertEquals([first?.at, first?.for, second?.for], [1, 1, 100]);
  const gap = (second?.at ?? 0) - (first?.at ?? 0);
  assert(gap >= 20 && gap < 40, `${gap}`);
});

Deno.test("shrink() tries no more than its limit, and what it gives fails", async () => {
  let tries = 0;
  const result = await shrink(steps(64), (script) => {
    tries++;
    return failsWith("5", "50")(script);
  }, 7);
  assertEquals([tries, result.tries], [7, 7]);
  assert(await failsWith("5", "50")(result.script));
});

Deno.test("shrink() orders a script by time", async () => {
  const { script } = await shrink(
    steps(3).reverse(),
    failsWith("0", "1", "2"),
    0,
  );
  assertEquals(script.map(({ name }) => name), ["0", "1", "2"]);
});
