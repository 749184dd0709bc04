import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  InvariantError,
  simulate,
  type SimulationReport,
} from "@devts/routing/testing";
import { MEMBERSHIPS, ROUTERS } from "./sim/parts.ts";
import { SCENARIOS } from "./sim/registry.ts";
import { reportText } from "./sim/report.ts";

const COMMAND = "deno task sim crash";

function report(changes: Partial<SimulationReport> = {}): SimulationReport {
  return {
    seeds: 40,
    events: 8_000_000,
    figures: { "ms": { count: 40, p50: 5, p99: 7.123, max: 9 } },
    missed: [],
    failure: null,
    ...changes,
  };
}

for (const [name, make] of Object.entries(SCENARIOS)) {
  Deno.test(`sim ${name} holds for a seed`, async () => {
    const router = ROUTERS["peer"];
    const membership = MEMBERSHIPS["swim"];
    assert(router && membership);
    const { failure, missed } = await make({ router, membership }).use(
      async (scenario): Promise<SimulationReport> =>
        await simulate(scenario, { seeds: 1 }),
    );
    assertEquals(failure?.error, undefined);
    assertEquals(missed, []);
  });
}

Deno.test("reportText() tells what held, and how fast", () => {
  assertEquals(
    reportText("crash", report(), 4, COMMAND),
    "held   crash: 40 seeds in 4.0 s (2.00 M events/s): ms p50 5, p99 7.12, max 9",
  );
});

Deno.test("reportText() tells what was missed", () => {
  const text = reportText("crash", report({ missed: ["ms is 9"] }), 4, COMMAND);
  assertStringIncludes(text, "FAILED crash");
  assertStringIncludes(text, "missed: ms is 9");
});

Deno.test("reportText() tells of a failure its seed, its script and the node's own trace", () => {
  const error = new InvariantError("few", 12.5, "n2", new Error("too many"));
  const text = reportText(
    "crash",
    report({
      failure: {
        seed: 17,
        error,
        script: [{ at: 0 }, { at: 1 }],
        shrunk: [{ at: 1 }],
        tries: 4,
        trace: [
          "       1.000 ms  cut n1 from n2, silence",
          "       2.000 ms  n1: timer",
          "       3.000 ms  n2: timer",
        ],
      },
    }),
    4,
    COMMAND,
  );
  assertEquals(text.split("\n").slice(1), [
    '  seed 17: The invariant "few" broke at 12.500 ms on "n2": too many',
    "  again: deno task sim crash --from 17 --seeds 1",
    "  it takes 1 of 2 (found in 4 runs):",
    '    {"at":1}',
    "  and ends with:",
    "           1.000 ms  cut n1 from n2, silence",
    "           3.000 ms  n2: timer",
  ]);
});

async function run(...args: string[]): Promise<[number, string]> {
  const program = new URL("sim.ts", import.meta.url).pathname;
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", program, ...args],
  }).output();
  const decoder = new TextDecoder();
  return [code, decoder.decode(stdout) + decoder.decode(stderr)];
}

Deno.test("deno task sim runs a scenario, and says that it held", async () => {
  const [code, text] = await run("graphs", "--seeds", "3", "--from", "5");
  assertStringIncludes(text, "held   graphs: 3 seeds");
  assertEquals(code, 0);
});

Deno.test("deno task sim refuses what it does not know", async () => {
  for (
    const args of [["tea"], ["crash", "--router", "tea"], ["--seeds", "0"]]
  ) {
    const [code, text] = await run(...args);
    assertStringIncludes(text, "Cannot ");
    assertEquals(code, 2, text);
  }
});
