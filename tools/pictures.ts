// deno-lint-ignore-file no-console -- writes for a person

/**
 * `deno task pictures`: draws the pictures of the documentation anew, from clusters of
 * whole nodes under virtual time. The same code draws the same pictures.
 *
 * @module
 */

import { wholeNode } from "./sim/whole_node.ts";
import type { AnyEvents, Node } from "@devts/node";
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
  const node = wholeNode<AnyEvents>(machine, {
    router: mapRouter({ links: 0 }),
    membership: swim(),
  });
  node.listen(`virtual://${machine.id}`);
  return node;
}

if (import.meta.main) {
  for (const [name, draw] of Object.entries(PICTURES)) {
    const file = new URL(`../docs/${name}`, import.meta.url);
    await Deno.writeTextFile(file, await draw());
    console.log(`docs/${name}`);
  }
}
