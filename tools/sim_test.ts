import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  InvariantError,
  type Scenario,
  simulate,
  type SimulationReport,
} from "@devts/routing/testing";
import { MEMBERSHIPS, ROUTERS } from "./sim/parts.ts";
import { LARGE, scenarioOf, SCENARIOS } from "./sim/registry.ts";
import { LastNetwork } from "./sim/picture.ts";
import { reportText, shortOf } from "./sim/report.ts";
import { peerRouter } from "@devts/routing/peer";
import { swim } from "@devts/routing/swim";

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

// The other large one takes half a minute: `verify routing` runs it.
for (const name of [...Object.keys(SCENARIOS), "churn"]) {
  Deno.test(`sim ${name} holds for a seed`, async () => {
    const router = ROUTERS[LARGE[name]?.router ?? "peer"];
    const make = scenarioOf(name);
    const membership = MEMBERSHIPS["swim"];
    assert(router && membership && make);
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

Deno.test("shortOf() leaves out when, and what should have held", () => {
  const error = new InvariantError("few", 12.5, "n2", new Error("too many"));
  assertEquals(shortOf(error), 'on "n2": too many');
  assertEquals(shortOf(new Error("why")), "why");
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

Deno.test("deno task sim draws the network of the last seed", async () => {
  const file = await Deno.makeTempFile({ suffix: ".svg" });
  try {
    const [code, text] = await run(
      ...["graphs", "--from", "7", "--seeds", "1", "--router", "map"],
      ...["--picture", file],
    );
    assertStringIncludes(text, `picture: ${file}`);
    assertEquals(code, 0);
    const svg = await Deno.readTextFile(file);
    assertStringIncludes(svg, ">graphs, seed 7</text>");
    assertStringIncludes(svg, ">n0</text>");
    assertStringIncludes(svg, 'class="route"');
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("LastNetwork draws the run that failed last, as it was at its end", async () => {
  const last = new LastNetwork();
  const failing: Scenario = {
    name: "failing",
    script: () => [
      { at: 0, do: "stall", node: "b", for: 1 },
      { at: 10, do: "crash", node: "c", how: "silence" },
    ],
    run(run) {
      const network = run.network();
      for (const id of ["a", "b", "c"]) {
        network.add(id, { router: peerRouter(), membership: swim() });
      }
      network.connect("a", "b");
      network.connect("b", "c");
      network.clock.tick(5_000);
      network.play(run.script);
      network.clock.tick(4_000);
      assert(network.node("c").running, "it has failed");
      return {};
    },
  };
  assertEquals(last.svg("nothing", "yet"), null);
  const { failure } = await simulate(last.of(failing), { seeds: 1 });
  assertEquals(failure?.shrunk.length, 1);
  const svg = last.svg("failing", "x".repeat(200)) ?? "";
  assertStringIncludes(svg, ">failing</text>");
  assertStringIncludes(svg, `>${"x".repeat(100)}…</text>`);
  assertStringIncludes(svg, "<title>c: failed</title>");
  assertStringIncludes(svg, "<title>a: alive</title>");
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
