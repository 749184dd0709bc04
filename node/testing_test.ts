import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { map, type ReplicatedMap } from "./state/mod.ts";
import {
  checkHistory,
  converges,
  HistoryError,
  monotonicReads,
  noLostWrites,
  type Operation,
  readYourWrites,
  simulate,
  type StoreScenario,
} from "./testing.ts";
import { StorageError } from "./storage/types.ts";

/** An operation on "ada" of "k" that returned 1 ms later. */
function operation(
  kind: Operation["kind"],
  value: string | undefined,
  invoked: number,
  change: Partial<Operation> = {},
): Operation {
  return {
    kind,
    node: "ada",
    session: "ada#1",
    key: "k",
    value,
    invoked,
    returned: invoked + 1,
    outcome: "ok",
    version: undefined,
    isFinal: false,
    ...change,
  };
}

const END = { isFinal: true };

Deno.test("noLostWrites() wants an acknowledged write, or what may be ordered after it", () => {
  const a = operation("write", "a", 0);
  const b = operation("write", "b", 10);
  noLostWrites([a, b, operation("read", "b", 20, END)]);
  const error = assertThrows(
    () => noLostWrites([a, b, operation("read", "a", 20, END)]),
    HistoryError,
    'The write of "b" to "k" on "ada" was acknowledged, and at the end "ada" reads "a"',
  );
  assertEquals(error.operations.map(({ value }) => value), ["b", "a"]);
  // At the same time, either may be the later one.
  const c = operation("write", "c", 10);
  for (const last of ["b", "c"]) {
    noLostWrites([b, c, operation("read", last, 20, END)]);
  }
  assertThrows(
    () => noLostWrites([a, operation("read", undefined, 20, END)]),
    HistoryError,
    "reads nothing",
  );
});

Deno.test("noLostWrites() leaves out what was not acknowledged, and takes it where it is read", () => {
  const a = operation("write", "a", 0);
  const open = { returned: null, outcome: "unknown" } as const;
  const b = operation("write", "b", 10, open);
  for (const last of ["a", "b"]) {
    noLostWrites([a, b, operation("read", last, 20, END)]);
  }
  const failed = operation("delete", undefined, 10, { outcome: "fail" });
  assertThrows(
    () => noLostWrites([a, failed, operation("read", undefined, 20, END)]),
    HistoryError,
  );
  const deleted = operation("delete", undefined, 10);
  noLostWrites([a, deleted, operation("read", undefined, 20, END)]);
});

Deno.test("noLostWrites() goes by the versions that the store tells", () => {
  const a = operation("write", "a", 0, { version: "2" });
  const b = operation("write", "b", 10, { version: "1" });
  noLostWrites([a, b, operation("read", "a", 20, END)]);
  assertThrows(
    () => noLostWrites([a, b, operation("read", "b", 20, END)]),
    HistoryError,
  );
});

Deno.test("oracles find what nobody wrote, under another key as well", () => {
  const a = operation("write", "a", 0, { key: "other" });
  const b = operation("write", "b", 0);
  assertThrows(
    () => noLostWrites([a, b, operation("read", "a", 20, END)]),
    HistoryError,
    "nobody wrote there",
  );
});

Deno.test("converges() wants the same everywhere at the end", () => {
  const reads = ["ada", "bob"].map((node) =>
    operation("read", node, 20, { ...END, node })
  );
  assertThrows(
    () => converges(reads),
    HistoryError,
    'At the end "ada" reads "ada" for "k", and "bob" reads "bob"',
  );
  converges(reads.map((read) => ({ ...read, value: "same" })));
  converges(reads.map((read) => ({ ...read, isFinal: false })));
});

Deno.test("monotonicReads() wants no way back, within a session", () => {
  const writes = [operation("write", "a", 0), operation("write", "b", 10)];
  const back = [operation("read", "b", 20), operation("read", "a", 30)];
  assertThrows(
    () => monotonicReads([...writes, ...back]),
    HistoryError,
    'read "b" for "k", and "a" later',
  );
  const [first, second] = back;
  assert(first && second);
  monotonicReads([...writes, first, { ...second, session: "ada#2" }]);
});

Deno.test("readYourWrites() wants what was written in the same session, or later", () => {
  const a = operation("write", "a", 0);
  const b = operation("write", "b", 10);
  const before = operation("read", "a", 20);
  assertThrows(() => readYourWrites([a, b, before]), HistoryError);
  readYourWrites([a, b, { ...before, session: "bob#1" }]);
  readYourWrites([a, b, operation("read", "b", 20)]);
  // A read that was asked for before the write returned may miss it.
  readYourWrites([a, b, { ...before, invoked: 10 }]);
});

const shared: StoreScenario<ReplicatedMap<string>> = {
  async start({ createNode, storage, ids }) {
    const replicas = ids.length;
    const one = createNode().use("cart", map<string>({ storage, replicas }));
    await one.ready;
    return one;
  },
  write: (cart, key, value) => cart.set(key, value, { level: "quorum" }),
  delete: (cart, key) => cart.delete(key, { level: "quorum" }),
  read: (cart, key) => cart.get(key),
  version: (cart, key) => cart.version(key),
  hash: (cart) => cart.hash(),
};

Deno.test("simulate() lets a replicated map on disks pass, all nodes of it crashing", async () => {
  const options = { nodes: 3, seeds: 20, crashes: 3 };
  const report = await simulate(options, shared);
  assertEquals(report.failure, null, `${report}`);
  assert(report.acknowledged > 100, `${report}`);
});

Deno.test("simulate() finds that a crash undoes what was acknowledged in memory, and cuts the script down", async () => {
  const report = await simulate<ReplicatedMap<string>>({ seeds: 1_000 }, {
    ...shared,
    start: ({ createNode }) => createNode().use("cart", map<string>()),
    write: (cart, key, value) => cart.set(key, value),
    delete: (cart, key) => cart.delete(key),
  });
  const { failure } = report;
  assert(failure !== null);
  assert(failure.shrunk.length <= 20, `${report}`);
  assert(failure.shrunk.some(({ do: what }) => what === "crash"), `${report}`);
  assert(`${report}`.includes("was acknowledged, and at the end"), `${report}`);
});

Deno.test("simulate() runs one seed again, the same way", async () => {
  const histories: string[] = [];
  for (let i = 0; i < 2; i++) {
    await simulate({ nodes: 3, seed: 7 }, {
      ...shared,
      check(history) {
        checkHistory(history);
        histories.push(JSON.stringify(history));
      },
    });
  }
  assertEquals(histories[0], histories[1]);
});

Deno.test("simulate() tells what a store failed to start with", async () => {
  const { failure } = await simulate({ nodes: 2, seeds: 1 }, {
    ...shared,
    start: () => Promise.reject(new Error("no way")),
  });
  assertEquals(`${failure?.error}`, "Error: no way");
  const without = await simulate({ nodes: 2, seeds: 1 }, {
    start: () => new Map<string, string>(),
    write: (store, key, value) => store.set(key, value),
    read: (store, key) => store.get(key),
  });
  assert(`${without}`.includes("start() made no node"), `${without}`);
});

Deno.test("simulate() has limits", async () => {
  for (const nodes of [1, 27, 2.5]) {
    await assertRejects(
      () => simulate({ nodes }, shared),
      RangeError,
      `Cannot simulate ${nodes} nodes`,
    );
  }
});

Deno.test("the disk of a simulated machine opens a table once at a time", async () => {
  const { failure } = await simulate({ nodes: 2, seeds: 1, operations: 1 }, {
    ...shared,
    async start(program) {
      const identity = { cluster: "simulated", name: "twice" };
      const table = await program.storage.open(identity);
      await assertRejects(() => program.storage.open(identity), StorageError);
      await table.close();
      await (await program.storage.open(identity)).close();
      return await shared.start(program);
    },
  });
  assertEquals(failure, null);
});
