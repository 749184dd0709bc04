import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { checkData, findFault } from "./data.ts";

const anything = (): null => null;

Deno.test("findFault() names the path as one would write it", () => {
  const bad = undefined;
  const cases: readonly [value: unknown, path: string][] = [
    [bad, "$"],
    [[0, [bad]], "$[1][0]"],
    [{ a: { $b_1: bad } }, "$.a.$b_1"],
    [{ "": bad }, '$[""]'],
    [{ 'a"b': [bad] }, '$["a\\"b"][0]'],
    [{ "1": bad }, '$["1"]'],
  ];
  for (const [value, path] of cases) {
    assertEquals(
      findFault(value, anything),
      `value at ${path}: undefined is not data`,
    );
  }
});

Deno.test("findFault() shortens the keys of the path", () => {
  const fault = findFault({ ["k".repeat(1000)]: undefined }, anything);
  assertStringIncludes(fault ?? "", `$["${"k".repeat(63)}…"]: `);
});

Deno.test("findFault() gives null for plain data, also for one object in two places", () => {
  const shared = { a: 1 };
  assertEquals(findFault({ shared, again: [shared, shared] }, anything), null);
});

Deno.test("findFault() asks for each scalar and each key", () => {
  const seen: unknown[] = [];
  findFault({ a: [1, "b", true, null], c: 2n }, (value) => {
    seen.push(value);
    return null;
  });
  assertEquals(seen, ["a", 1, "b", "c", 2n]);
});

Deno.test("checkData() throws a TypeError that says why", () => {
  assertThrows(
    () =>
      checkData(
        { a: [7] },
        (value) => value === 7 ? "seven is not data" : null,
      ),
    TypeError,
    "Cannot encode value at $.a[0]: seven is not data",
  );
});
