// deno-lint-ignore-file no-console -- writes for a person

/**
 * `deno task pictures`: draws the pictures of the documentation anew, from clusters of
 * whole nodes under virtual time. The same code draws the same pictures.
 *
 * @module
 */

import { runSvg } from "./run_picture.ts";
import { type AnyEvents, Node } from "@devts/node";
import { map, type ReplicatedMap } from "@devts/node/state";
import {
  type Action,
  checkHistory,
  type History,
  simulate,
  simulatedParts,
} from "@devts/node/testing";
import type { NodeId } from "@devts/routing";
import { mapRouter } from "@devts/routing/map";
import { topologySvg } from "@devts/routing/picture";
import { swim } from "@devts/routing/swim";
import {
  sealedAsync,
  seededRandom,
  type VirtualMachine,
  VirtualNetwork,
} from "@devts/routing/testing";
import { ConnectionError } from "@devts/transport";

/** Two networks that cannot see each other, and the one node that is in both. */
const LINKS: readonly (readonly [NodeId, NodeId])[] = [
  ["ada", "bob"],
  ["ada", "cyd"],
  ["bob", "cyd"],
  ["bob", "dan"],
  ["cyd", "eve"],
  ["dan", "eve"],
  ["dan", "gus"],
  ["dan", "bridge"],
  ["eve", "bridge"],
  ["bridge", "fay"],
  ["bridge", "hal"],
  ["fay", "ivy"],
  ["hal", "ivy"],
  ["hal", "joe"],
  ["ivy", "kim"],
  ["joe", "kim"],
  ["kim", "leo"],
  ["joe", "max"],
];
/** A link that takes longer than the others, one way, in ms. */
const SLOW = { from: "eve", to: "bridge", latency: 40 } as const;

/** The pictures, by their names in `docs/`. */
export const PICTURES: Readonly<Record<string, () => Promise<string>>> = {
  "route.svg": () =>
    sealedAsync(async () => await route(), { random: seededRandom(1) }),
};

/** Pictures of runs: what happens when differs a little with each change of the system. */
export const RUNS: Readonly<Record<string, () => Promise<string>>> = {
  "kv_cut.svg": kvCut,
};

/** What a node with `mapRouter()` knows: who left, who failed, who is about to. */
async function route(): Promise<string> {
  const network = new VirtualNetwork({ seed: 1, latency: 2 });
  const { clock } = network;
  const nodes = new Map<NodeId, Node>();
  for (const id of new Set(LINKS.flat())) {
    network.machine(id, {
      connectionError: ConnectionError,
      start: (machine) => nodes.set(id, boot(machine)),
    });
  }
  const { from, to, latency } = SLOW;
  network.shape({ latency }, { from, to });
  network.shape({ latency }, { from: to, to: from });
  for (const [a, b] of LINKS) nodes.get(a)?.join(`virtual://${b}`);
  const ada = nodes.get("ada");
  if (ada === undefined) throw new Error("There is no node to look from");
  await clock.passUntil(() => ada.members.size === nodes.size - 1);
  await clock.pass(60_000);
  nodes.get("leo")?.close();
  network.play([{ at: 0, do: "crash", node: "gus", how: "silence" }]);
  await clock.passUntil(() => ada.explain("gus").state === "failed");
  network.play([{ at: 0, do: "crash", node: "max", how: "silence" }]);
  await clock.passUntil(() => ada.explain("max").state === "suspect");
  const [way] = ada.explain("kim").ways;
  return topologySvg(ada.topology(), {
    title: 'The network as "ada" knows it, and the way of a message to "kim"',
    route: way?.nodes ?? [],
  });
}

function boot(machine: VirtualMachine): Node {
  const node = new Node<AnyEvents>({
    ...simulatedParts(machine),
    router: mapRouter({ links: 0 }),
    membership: swim(),
  });
  node.listen(`virtual://${machine.id}`);
  return node;
}

/** The run that is drawn: 40 s, in which the cluster is cut in half for 15. */
const RUN = 40_000;
const CUT = { from: 8_000, to: 23_000, below: 2 } as const;
const KEY = "colour";

/** A replicated map whose cluster is cut in half, and what each node shows meanwhile. */
async function kvCut(): Promise<string> {
  const nodes = ["n0", "n1", "n2", "n3", "n4"];
  const script: Action[] = [{
    at: CUT.from,
    do: "cut",
    from: nodes.slice(0, CUT.below),
    to: nodes.slice(CUT.below),
    for: CUT.to - CUT.from,
  }];
  for (let at = 0; at < RUN; at += 100) {
    for (const node of nodes) script.push({ at, do: "read", node, key: KEY });
  }
  for (let at = 1_000; at < RUN; at += 4_000) {
    script.push({ at, do: "write", node: "n0", key: KEY });
    script.push({ at: at + 2_000, do: "write", node: "n3", key: KEY });
  }
  let history: History = [];
  const report = await simulate<ReplicatedMap<string>>({
    nodes: nodes.length,
    seed: 1,
    script,
  }, {
    start: ({ createNode, ids }) =>
      createNode().use("kv", map<string>({ replicas: ids.length })),
    write: (kv, key, value) => kv.set(key, value, { level: "quorum" }),
    read: (kv, key) => kv.get(key),
    version: (kv, key) => kv.version(key),
    check(all) {
      checkHistory(all);
      history = all;
    },
  });
  if (report.failure !== null) throw report.failure.error;
  const first = history[0]?.invoked ?? 0;
  return runSvg({
    title: "One key on five nodes, cut in two and three",
    note:
      "Two clients write by turns, on n0 and n3, and every node is read all the time",
    nodes,
    history: history.map((one) => ({
      ...one,
      invoked: one.invoked - first,
      returned: one.returned === null ? null : one.returned - first,
    })),
    cut: CUT,
    length: RUN,
  });
}

if (import.meta.main) {
  for (const [name, draw] of Object.entries({ ...PICTURES, ...RUNS })) {
    const file = new URL(`../docs/${name}`, import.meta.url);
    await Deno.writeTextFile(file, await draw());
    console.log(`docs/${name}`);
  }
}
