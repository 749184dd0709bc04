import { assertEquals, assertThrows } from "@std/assert";
import {
  type Measurement,
  parseShortfalls,
  type Row,
  type Shortfalls,
  verify,
} from "./runner.ts";

const NONE: Shortfalls = new Map();

function row(what: string, measured: Measurement | Error): Row {
  return {
    what,
    target: "5 or more",
    measure: () =>
      measured instanceof Error
        ? Promise.reject(measured)
        : Promise.resolve(measured),
  };
}

async function run(
  rows: readonly Row[],
  shortfalls: Shortfalls,
  short = false,
) {
  const lines: string[] = [];
  const outcome = await verify(rows, shortfalls, {
    short,
    print: (line) => lines.push(line),
  });
  return { lines, outcome };
}

Deno.test("verify() prints what, figure, target and whether it is held", async () => {
  const { lines, outcome } = await run([
    row("speed", { figure: "6", held: true }),
    row("size", { figure: "4", held: false }),
  ], NONE);
  assertEquals(lines, [
    "held   speed: 6 (target: 5 or more)",
    "SHORT  size: 4 (target: 5 or more)",
  ]);
  assertEquals(outcome, { passed: 1, failed: 1, known: 0, skipped: 0 });
});

Deno.test("verify() counts a row that throws as one that falls short, and goes on", async () => {
  const { lines, outcome } = await run([
    row("speed", new RangeError("too slow")),
    row("size", { figure: "6", held: true }),
  ], NONE);
  assertEquals(
    lines[0],
    "SHORT  speed: not measured, RangeError: too slow (target: 5 or more)",
  );
  assertEquals(outcome, { passed: 1, failed: 1, known: 0, skipped: 0 });
});

Deno.test("verify() fails for a row that throws, also where a shortfall is known", async () => {
  const known = new Map([["speed", { figure: "3", reason: "copies twice" }]]);
  const { outcome } = await run([row("speed", new RangeError("no"))], known);
  assertEquals(outcome, { passed: 0, failed: 1, known: 0, skipped: 0 });
});

Deno.test("verify() says what it cannot measure, and does not count it as held", async () => {
  const { lines, outcome } = await run([
    row("speed", { figure: "no wind here", held: false, skipped: true }),
  ], NONE);
  assertEquals(lines, ["skip   speed: not measured, no wind here"]);
  assertEquals(outcome, { passed: 0, failed: 0, known: 0, skipped: 1 });
});

Deno.test("verify() does not fail for a known shortfall, and prints its reason", async () => {
  const known = new Map([["speed", { figure: "3", reason: "copies twice" }]]);
  const { lines, outcome } = await run([
    row("speed", { figure: "4", held: false }),
  ], known);
  assertEquals(lines, [
    "known  speed: 4 (target: 5 or more); known: 3, copies twice",
  ]);
  assertEquals(outcome, { passed: 0, failed: 0, known: 1, skipped: 0 });
});

Deno.test("verify() says nothing of a known shortfall that it does not measure", async () => {
  const known = new Map([["speed", { figure: "3", reason: "copies twice" }]]);
  const { lines, outcome } = await run([
    row("speed", { figure: "too short", held: false, skipped: true }),
  ], known);
  assertEquals(lines, ["skip   speed: not measured, too short"]);
  assertEquals(outcome, { passed: 0, failed: 0, known: 0, skipped: 1 });
});

Deno.test("verify() fails for a known shortfall that holds again", async () => {
  const known = new Map([["speed", { figure: "3", reason: "copies twice" }]]);
  const { lines, outcome } = await run([
    row("speed", { figure: "6", held: true }),
  ], known);
  assertEquals(lines, [
    "HOLDS  speed: 6 (target: 5 or more): remove it from the known shortfalls",
  ]);
  assertEquals(outcome, { passed: 0, failed: 1, known: 0, skipped: 0 });
});

Deno.test("verify() fails for a known shortfall that no row measures", async () => {
  const known = new Map([["gone", { figure: "3", reason: "copies twice" }]]);
  const { outcome } = await run(
    [row("speed", { figure: "6", held: true })],
    known,
  );
  assertEquals(outcome, { passed: 1, failed: 1, known: 0, skipped: 0 });
});

Deno.test("verify() hands on short, and prints progress", async () => {
  const { lines } = await run(
    [{
      what: "speed",
      target: "5",
      measure({ short, progress }) {
        progress("half");
        return Promise.resolve({ figure: String(short), held: true });
      },
    }],
    NONE,
    true,
  );
  assertEquals(lines, ["...    speed: half", "held   speed: true (target: 5)"]);
});

Deno.test("parseShortfalls() reads one area", () => {
  const text = JSON.stringify({
    speed: { a: { figure: "3", reason: "copies twice" } },
    cluster: { b: { figure: "4", reason: "one core" } },
  });
  assertEquals(
    parseShortfalls(text, "speed"),
    new Map([["a", { figure: "3", reason: "copies twice" }]]),
  );
  assertEquals(parseShortfalls(text, "other"), new Map());
});

Deno.test("parseShortfalls() refuses an entry without a reason", () => {
  const text = JSON.stringify({ speed: { a: { figure: "3" } } });
  assertThrows(() => parseShortfalls(text, "speed"), SyntaxError, '"a"');
  assertThrows(() => parseShortfalls("[]", "speed"), SyntaxError);
});
