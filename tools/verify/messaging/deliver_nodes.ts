import { Child } from "../../../bench/child.ts";

const PROGRAM = new URL("./deliver_program.ts", import.meta.url);
const FLAGS = ["-A", "--v8-flags=--expose-gc"];

/** Starts a node in a process of its own, which joins another one where there is one. */
export async function startNode(
  processes: AsyncDisposableStack,
  id: string,
  entry?: string,
): Promise<{ readonly node: Child; readonly address: string }> {
  const node = processes.use(new Child(PROGRAM, { args: [id], flags: FLAGS }));
  const address = (await node.ask("listen")).text("address");
  if (entry !== undefined) await node.ask("join", { address: entry });
  return { node, address };
}

/** Starts a node and so many others; resolves to the first once it knows all. */
export async function startCluster(
  processes: AsyncDisposableStack,
  others: number,
): Promise<Child> {
  const { node, address } = await startNode(processes, "first");
  for (let at = 0; at < others; at++) {
    await startNode(processes, `other-${at}`, address);
  }
  const linked = await node.ask("linked", { nodes: others });
  if (linked.number("nodes") === others) return node;
  throw new Error("Not all nodes know each other");
}
