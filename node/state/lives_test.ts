/**
 * Counters on three nodes that have one life after the other, in random orders. More
 * cases than here: `deno test node/state/lives_test.ts -- --cases=10000`.
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { Mesh } from "./_mesh_test.ts";
import { Replicated } from "./_replicated.ts";
import { upDownCounter } from "./counter.ts";

const CASES = Number(
  Deno.args.find((arg) => arg.startsWith("--cases="))?.slice(8) ?? 50,
);
const IDS = ["a", "b", "c"];
/** Lives are over by then, and taken over, in ms. */
const SETTLED = 400_000;

Deno.test("upDownCounter() counts each addition once while nodes have one life after the other", async () => {
  const life = fc.record({
    do: fc.integer({ min: 0, max: 17 }),
    node: fc.integer({ min: 0, max: 2 }),
    choice: fc.integer({ min: 0, max: 15 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(life, { maxLength: 40 }), runLives),
    { numRuns: CASES },
  );
});

/**
 * Additions, messages that are lost, doubled and reordered, nodes that are cut off, and
 * nodes that end, another one having what they counted.
 */
async function runLives(
  plan: readonly { do: number; node: number; choice: number }[],
): Promise<void> {
  const mesh = new Mesh();
  const make = upDownCounter({ replicas: IDS.length });
  const states = mesh.scopes(IDS).map(make);
  let expected = 0;
  for (const one of plan) {
    const state = states[one.node];
    const next = states[(one.node + 1 + one.choice % 2) % 3];
    const id = IDS[one.node];
    if (!state || !next || id === undefined) continue;
    if (one.do < 5) {
      state.add(one.choice - 8);
      expected += one.choice - 8;
    } else if (one.do < 8) {
      mesh.clock.tick(1);
      mesh.deliver(one.choice);
    } else if (one.do === 8) mesh.double(one.choice);
    else if (one.do === 9) mesh.lose(one.choice);
    else if (one.do < 12) await state.sync();
    else if (one.do === 12) mesh.cut.add(id);
    else if (one.do === 13) mesh.cut.delete(id);
    else if (one.do < 16) {
      const other = IDS[states.indexOf(next)] ?? id;
      if (mesh.cut.has(id) || mesh.cut.has(other)) continue;
      await next.sync();
      states[one.node] = make(mesh.restart(id, IDS));
      // Alone it knows the rest of what the former life counted, maybe.
      if (one.do === 15) mesh.cut.add(other);
    } else {
      await mesh.clock.pass(SETTLED * one.choice / 15);
      mesh.queue.length = 0;
    }
  }
  mesh.cut.clear();
  for (let n = 0; n < 2; n++) {
    for (const state of [...states, ...states]) await state.sync();
    assertEquals(states.map(({ value }) => value), [
      expected,
      expected,
      expected,
    ]);
    await mesh.clock.pass(SETTLED);
    mesh.queue.length = 0;
  }
  for (const state of [...states, ...states]) await state.sync();
  assertEquals(new Set(states.map((state) => state.hash())).size, 1);
  for (const state of states) {
    assert(state instanceof Replicated);
    assert(state.replication.store.entries.live.size <= IDS.length);
  }
  mesh.close();
}
