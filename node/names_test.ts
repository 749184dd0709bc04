import { assert, assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { encodeName, Pattern, tokensOf } from "./names.ts";
import { Topics } from "./topics.ts";

function matches(pattern: string, name: string): boolean {
  const made = Pattern.of(pattern);
  assert(made !== null, `"${pattern}" is no pattern`);
  return made.matches(tokensOf(name));
}

Deno.test("Pattern.matches() takes `*` for one token and `>` for the rest", () => {
  const cases: readonly (readonly [string, string, boolean])[] = [
    ["*", "a", true],
    ["*", "a.b", false],
    [">", "a", true],
    [">", "a.b.c", true],
    ["a.*", "a.b", true],
    ["a.*", "a", false],
    ["a.*", "a.b.c", false],
    ["a.>", "a.b.c", true],
    ["a.>", "a", false],
    ["*.b", "a.b", true],
    ["*.b", "a.c", false],
    ["a.*.c", "a.b.c", true],
    ["a.*.>", "a.b", false],
    ["a.*.>", "a.b.c.d", true],
    ["a.*", "a.", true],
  ];
  for (const [pattern, name, expected] of cases) {
    assertEquals(matches(pattern, name), expected, `${pattern} for ${name}`);
  }
});

Deno.test("Pattern.of() takes only whole tokens for wildcards", () => {
  for (const name of ["a", "a.b", "a*", "*a.b", "a>b", "a.b>"]) {
    assertEquals(Pattern.of(name), null, name);
  }
  for (const pattern of [">.a", "a.>.b", ">.>"]) {
    assertThrows(() => Pattern.of(pattern), TypeError, "nothing can follow");
  }
});

Deno.test("Pattern.matches() is what a regular expression says", () => {
  const token = fc.constantFrom("a", "b", "", "*", "c");
  fc.assert(
    fc.property(
      fc.array(token, { minLength: 1, maxLength: 4 }),
      fc.boolean(),
      fc.array(fc.constantFrom("a", "b", "", "c"), {
        minLength: 1,
        maxLength: 5,
      }),
      (tokens, hasRest, name) => {
        const text = [...tokens, ...(hasRest ? [">"] : [])].join(".");
        const pattern = Pattern.of(text);
        if (pattern === null) return;
        const expression = tokens
          .map((one) => one === "*" ? "[^.]*" : one).join("\\.") +
          (hasRest ? "\\..*" : "");
        const expected = new RegExp(`^(?:${expression})$`);
        assertEquals(pattern.matches(name), expected.test(name.join(".")));
      },
    ),
    { seed: 4, numRuns: 2_000 },
  );
});

Deno.test("encodeName() refuses what is no name", () => {
  assertEquals(encodeName("é"), new TextEncoder().encode("é"));
  assertEquals(encodeName("x".repeat(255)).length, 255);
  assertThrows(() => encodeName(""), TypeError, "name of an event");
  assertThrows(() => encodeName("x".repeat(256)), TypeError, "255 bytes");
  assertThrows(() => encodeName("é".repeat(128)), TypeError, "255 bytes");
  assertThrows(() => encodeName("\ud800"), TypeError, "name of an event");
});

Deno.test("Topics.of() gives the same object each time, as long as it has room", () => {
  const topics = new Topics();
  const first = topics.of("event");
  assert(topics.of("event") === first);
  topics.of("other");
  assert(topics.of("event") === first);
  for (let i = 0; i < 5_000; i++) topics.of(`n${i}`);
  assert(topics.of("event") !== first);
  assertEquals(topics.of("event").bytes, first.bytes);
});
