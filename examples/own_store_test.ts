/**
 * A store of one's own, tested against partitions, crashes and wrong clocks. It has a
 * defect that its own tests would not find: the value that arrives last wins, and two
 * nodes do not receive two values in the same order. The simulator finds it, prints the
 * seed, and cuts the run down to what it takes.
 *
 * ```sh
 * deno test -A examples/own_store_test.ts
 * ```
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import type { Node } from "@devts/devts";
import { map, type ReplicatedMap } from "@devts/node/state";
import { simulate, type StoreScenario } from "@devts/node/testing";

interface Events {
  set(entry: readonly [key: string, value: string]): boolean;
  fetch(): readonly (readonly [key: string, value: string])[];
}

/** Every node has all of it. A write is acknowledged once a majority has it. */
class NaiveStore {
  readonly #node: Node<Events>;
  readonly #entries = new Map<string, string>();

  constructor(node: Node<Events>) {
    this.#node = node;
    node.on("set", ([key, value]) => {
      this.#entries.set(key, value); // the defect: whatever came last
      return true;
    });
    node.on("fetch", () => [...this.#entries]);
    node.onSystem("join", ({ id }) => this.#fetch(id));
  }

  get(key: string): string | undefined {
    return this.#entries.get(key);
  }

  async set(key: string, value: string): Promise<void> {
    this.#entries.set(key, value);
    await Promise.any(
      [...this.#node.members.keys()].map((id) =>
        this.#node.request(id, "set", [key, value], { timeout: 2_000 })
      ),
    );
  }

  /** Takes over what a node has that comes, or comes back. */
  async #fetch(id: string): Promise<void> {
    const entries = await this.#node.request(id, "fetch").catch(() => []);
    for (const [key, value] of entries) this.#entries.set(key, value);
  }
}

const naive: StoreScenario<NaiveStore> = {
  start: ({ createNode }) => new NaiveStore(createNode<Events>()),
  write: (store, key, value) => store.set(key, value),
  read: (store, key) => store.get(key),
};

Deno.test("the simulator finds a store in which the last to arrive wins", async () => {
  const report = await simulate({ nodes: 3, seeds: 1_000 }, naive);
  console.log(`${report}`); // the seed, the shrunk script, and what clients saw

  const { failure } = report;
  assert(failure !== null, "the defect is found");
  assert(failure.shrunk.length <= 20, `${failure.shrunk.length} events`);

  // The seed and the script that were printed do the same again.
  const { seed, shrunk: script } = failure;
  const again = await simulate(
    { nodes: 3, seed, script, shrinkRuns: 0 },
    naive,
  );
  assertEquals(`${again.failure?.error}`, `${failure.error}`);
});

Deno.test("a replicated map loses nothing in the same trials", async () => {
  const report = await simulate<ReplicatedMap<string>>(
    { nodes: 3, seeds: 20 },
    {
      start: ({ createNode }) => createNode().use("shop", map({ replicas: 3 })),
      write: (shop, key, value) => shop.set(key, value, { level: "quorum" }),
      delete: (shop, key) => shop.delete(key, { level: "quorum" }),
      read: (shop, key) => shop.get(key),
      version: (shop, key) => shop.version(key),
    },
  );
  assertEquals(report.failure, null, `${report}`);
});
