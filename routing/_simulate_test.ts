import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertStringIncludes,
} from "@std/assert";
import { InvariantError } from "./_invariant.ts";
import type { Scenario } from "./_scenario.ts";
import { simulate } from "./_simulate.ts";
import { heartbeat } from "./heartbeat.ts";
import { peerRouter } from "./peer.ts";

const IDS = ["a", "b", "c", "d"];

/** Four nodes, of which one or another crashes; `limit` of them may be missing at once. */
function crashes(limit: number): Scenario {
  return {
    name: "crashes",
    script: (random) =>
      Array.from({ length: 12 }, (_, number) => ({
        at: 2_000 * number + Math.floor(1_000 * random()),
        do: "crash",
        node: IDS[Math.floor(IDS.length * random())] ?? "",
        for: 9_000,
      })),
    run(run) {
      const network = run.network({ jitter: 5, loss: 0.05 });
      network.always("enough nodes run", () => {
        const down = network.nodes.filter((node) => !node.running).length;
        assert(down <= limit, `${down} are down`);
      });
      for (const id of IDS) {
        network.add(id, { router: peerRouter(), membership: heartbeat() });
        if (id !== "a") network.connect(id, "a");
      }
      network.play(run.script);
      network.clock.tick(40_000);
      return { "down (s)": 9 * run.script.length };
    },
  };
}

Deno.test("simulate() tells how the figures came out over the seeds", async () => {
  const seeds: number[] = [];
  const report = await simulate<{ readonly at: number }>({
    name: "numbers",
    targets: { ms: { p99: 98, max: 120 }, other: { max: 1 } },
    script: () => [],
    run: ({ seed }) => ({ ms: seed }),
  }, { seeds: 100, from: 11, progress: ({ seeds: done }) => seeds.push(done) });
  assertEquals(report.figures, {
    ms: { count: 100, p50: 60, p99: 109, max: 110 },
  });
  assertEquals(report.missed, [
    'p99 of "ms" is 109, above 98',
    '"other" was never measured',
  ]);
  assertEquals([report.seeds, seeds.length, seeds.at(-1)], [100, 100, 100]);
  assertEquals(report.failure, null);
});

Deno.test("simulate() runs to the end where nothing fails, and counts events", async () => {
  const { seeds, events, failure } = await simulate(crashes(4), { seeds: 3 });
  assertEquals([seeds, failure], [3, null]);
  assert(events > 300, `${events}`);
});

Deno.test("simulate() stops at a failure and cuts its script down", async () => {
  const report = await simulate(crashes(1), { seeds: 10 });
  const { failure } = report;
  assert(failure !== null);
  assertInstanceOf(failure.error, InvariantError);
  assertEquals(failure.error.invariant, "enough nodes run");
  assertEquals([failure.script.length, failure.shrunk.length], [12, 2]);
  assertEquals(
    new Set(failure.shrunk.map((fault) => "node" in fault && fault.node)).size,
    2,
  );
  assertEquals(report.seeds, failure.seed);
  assert(failure.trace.length > 0);
  assertStringIncludes(failure.trace.join(), "crash ");
});

Deno.test("simulate() finds the same again from the seed that failed", async () => {
  const first = await simulate(crashes(1), { seeds: 10 });
  const seed = first.failure?.seed ?? 0;
  const again = await simulate(crashes(1), { seeds: 1, from: seed });
  assertEquals(again.failure?.shrunk, first.failure?.shrunk);
  assertEquals(again.failure?.trace, first.failure?.trace);
  assertEquals(String(again.failure?.error), String(first.failure?.error));
});

Deno.test("simulate() finds a run that does not repeat", async () => {
  let runs = 0;
  const { failure } = await simulate({
    name: "moody",
    script: () => [],
    run(run) {
      const network = run.network();
      network.add(`n${runs++}`, { router: peerRouter() });
      network.connect(`n${runs - 1}`, `n${runs - 1}`);
      return {};
    },
  }, { seeds: 1, from: 100 });
  assertStringIncludes(String(failure?.error), "Cannot repeat seed 100");
});

Deno.test("simulate() fails a run that looks at the real clock", async () => {
  const { failure } = await simulate({
    name: "impatient",
    script: () => [],
    run: () => ({ now: Date.now() }),
  }, { seeds: 1 });
  assertStringIncludes(String(failure?.error), "Cannot use Date.now");
});

Deno.test("simulate() fails a run that makes a second network", async () => {
  const { failure } = await simulate({
    name: "double",
    script: () => [],
    run(run) {
      run.network();
      run.network();
      return {};
    },
  }, { seeds: 1 });
  assertStringIncludes(String(failure?.error), "a run has one");
});
