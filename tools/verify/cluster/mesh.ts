/**
 * A full mesh in one process: `mesh.ts SCHEME NODES`, run with `--expose-gc`. Prints
 * what it found as a line of JSON, and then must end by itself.
 *
 * @module
 */

import { createNode, type Node } from "@devts/devts";
import { memory } from "@devts/transport/memory";
import { tcp } from "@devts/transport/tcp";
import { collectGarbage, pause, quiet, until } from "../../../bench/serve.ts";
import type { Named } from "../../../bench/values.ts";

interface Events {
  hello(): void;
}

const [scheme, size] = Deno.args;
const transport = scheme === "tcp" ? tcp() : memory();

/** What came of a mesh, and what may be left of its nodes. */
interface Closed {
  readonly result: Named;
  readonly nodes: readonly WeakRef<Node<Events>>[];
}

/** Builds a mesh, uses it and closes it; nobody outside holds a node. */
async function live(size: number): Promise<Closed> {
  const others = size - 1;
  const nodes = Array.from(
    { length: size },
    (_, i) =>
      createNode<Events>({
        cluster: "verify",
        id: `node-${i}`,
        transport,
        logger: quiet,
      }),
  );
  let heard = 0;
  for (const node of nodes) node.on("hello", () => void heard++);
  const startedAt = performance.now();
  let entry: string | undefined;
  for (const [i, node] of nodes.entries()) {
    const address = await node.listen(
      scheme === "tcp" ? "tcp://127.0.0.1:0" : `memory://node-${i}`,
    );
    if (entry !== undefined) await node.join(entry);
    entry ??= address;
  }
  const isComplete = (node: Node<Events>): boolean =>
    node.members.size === others;
  // A link may be about to take the place of another one.
  const isLinked = (node: Node<Events>): boolean =>
    [...node.members.keys()].every((id) => node.explain(id).isReachable);
  await until(() => nodes.every(isComplete), 60_000);
  await until(() => nodes.every(isLinked), 60_000);
  const joined = performance.now() - startedAt;
  const reached = await Promise.all(nodes.map((node) => node.emit("hello")));
  const expected = nodes.length * others;
  await until(() => heard >= expected, 30_000);
  const closingAt = performance.now();
  await Promise.all(nodes.map((node) => node.close()));
  return {
    result: {
      joined,
      members: nodes.length,
      complete: reached.filter((outcome) => outcome.nodes === others).length,
      missed: expected - heard,
      closed: performance.now() - closingAt,
    },
    nodes: nodes.map((node) => new WeakRef(node)),
  };
}

/** The sockets of this process that reach beyond it; the runtime has others for itself. */
async function openSockets(): Promise<number> {
  const tables = ["tcp", "tcp6", "udp", "udp6"].map((name) =>
    Deno.readTextFile(`/proc/self/net/${name}`)
  );
  const words = new Set((await Promise.all(tables)).join("\n").split(/\s+/));
  let count = 0;
  for await (const { name } of Deno.readDir("/proc/self/fd")) {
    const file = await Deno.readLink(`/proc/self/fd/${name}`).catch(() =>
      "closed meanwhile"
    );
    const inode = /^socket:\[(\d+)\]$/.exec(file)?.[1];
    if (inode !== undefined && words.has(inode)) count++;
  }
  return count;
}

const sockets = await openSockets();
const { result, nodes } = await live(Number(size));
let kept = nodes.length;
let leaked = Infinity;
for (let i = 0; i < 50 && (kept > 0 || leaked > 0); i++) {
  await pause(10);
  collectGarbage();
  kept = nodes.filter((node) => node.deref()).length;
  leaked = await openSockets() - sockets;
}
// deno-lint-ignore no-console -- the answer
console.log(JSON.stringify({ ...result, kept, leaked, endedAt: Date.now() }));
