import { Child } from "../../../bench/child.ts";
import { FIRST } from "../../../bench/payload.ts";
import type { Expected } from "../../../bench/scenarios/tally.ts";
import type { Named, Values } from "../../../bench/values.ts";
import { cpuOf } from "../../../bench/processes.ts";
import type { Sample } from "./samples.ts";

/** How long a command may take, in ms. */
const PATIENCE = 60_000;
const PROGRAM = new URL("../../../bench/scenarios/node.ts", import.meta.url);

/** In which way a node publishes; see `bench/scenarios/node.ts`. */
export type How =
  | "emit"
  | "emit without await"
  | "emit and send"
  | "emit, then send"
  | "send to 1"
  | "send to 2"
  | "send to 7";

/** What nodes publish. */
export interface Work {
  /** In which way. */
  readonly how: How;
  /** Of what kind. */
  readonly kind: "object128" | "bytes128";
  /** How many, each of the publishers: divisible by all that divides them, such as 14. */
  readonly count: number;
  /** How many of the nodes publish, from `node-0` on. */
  readonly publishers: number;
}

/** Starts `node-0`, `node-1` and so on, each in a process of its own, all linked to each other. */
export async function startNodes(
  processes: AsyncDisposableStack,
  count: number,
): Promise<readonly Child[]> {
  const nodes = Array.from(
    { length: count },
    (_, index) =>
      processes.use(new Child(PROGRAM, { args: [`node-${index}`] })),
  );
  let address: string | undefined;
  for (const node of nodes) {
    const listening = await ask(node, "listen");
    if (address !== undefined) await ask(node, "join", { address });
    address ??= listening.text("address");
  }
  for (const node of nodes) {
    const linked = await ask(node, "linked", { nodes: count - 1 });
    if (linked.number("nodes") === count - 1) continue;
    throw new Error("Not all nodes are linked to each other");
  }
  return nodes;
}

/**
 * Lets nodes publish, and awaits what they do; CPU time is that of all processes per
 * message delivered.
 *
 * @throws {Error} If a message is lost, doubled, out of order or malformed.
 */
export async function run(
  nodes: readonly Child[],
  work: Work,
): Promise<Sample> {
  const awaited = nodes.map((node, index) => ({
    node,
    expected: expectedOf(work, index),
  }));
  for (const { node, expected } of awaited) {
    await ask(node, "expect", { ...expected });
  }
  const before = cpuOfAll(nodes);
  const { how, kind, count, publishers } = work;
  const published = await Promise.all(
    nodes.slice(0, publishers).map((node) =>
      ask(node, "publish", { how, kind, count })
    ),
  );
  const arrivals = await Promise.all(
    awaited.map(({ node, expected: { total } }) =>
      ask(node, "arrived", { total })
    ),
  );
  const cpu = cpuOfAll(nodes) - before;
  const faults = arrivals.flatMap((arrived, index) =>
    faultsOf(`node-${index}`, arrived, awaited[index]?.expected.total ?? 0)
  );
  if (faults.length > 0) throw new Error(summary(faults));
  const start = Math.min(...published.map((one) => one.number("startedAt")));
  const end = Math.max(...arrivals.map((one) => one.number("endedAt")));
  const delivered = awaited.reduce((sum, one) => sum + one.expected.total, 0);
  return {
    rate: delivered / (end - start) * 1000,
    cpu: cpu / delivered * 1000,
  };
}

/**
 * Gives a node a command.
 *
 * @throws {Error} If it failed, or is not answered in time: a node may be so busy that it
 * never looks.
 */
export async function ask(
  node: Child,
  verb: string,
  args: Named = {},
): Promise<Values> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () =>
      late.reject(
        new Error(`"${verb}" was not answered in ${PATIENCE / 1_000} s`),
      ),
    PATIENCE,
  );
  try {
    return await Promise.race([node.ask(verb, args), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** What the node of an index awaits; no node awaits its own. */
export function expectedOf(
  { how, count, publishers }: Work,
  index: number,
): Expected {
  const others = index < publishers ? publishers - 1 : publishers;
  switch (how) {
    case "emit":
    case "emit without await":
      return { first: FIRST, step: 1, total: others * count };
    case "emit and send":
      return index === 1
        ? { first: FIRST, step: 1, total: others * count }
        : { first: FIRST, step: 2, total: others * count / 2 };
    case "emit, then send":
      return {
        first: FIRST,
        step: 1,
        total: others * count / (index === 1 ? 1 : 2),
      };
    case "send to 1":
    case "send to 2":
    case "send to 7": {
      const step = Number(how.at(-1));
      const isTarget = index >= 1 && index <= step;
      return {
        first: FIRST + index - 1,
        step,
        total: isTarget ? count / step : 0,
      };
    }
  }
}

/** What is wrong with what arrived at a node, if anything is. */
export function faultsOf(
  id: string,
  arrived: Values,
  total: number,
): readonly string[] {
  const received = arrived.number("received");
  const wrong = arrived.number("wrong");
  const lost = arrived.number("lost");
  if (received === total && wrong === 0 && lost === 0) return [];
  return [
    `${id} received ${received} of ${total} messages, ${wrong} of them wrong or out of order`,
  ];
}

/** The first of some faults, and how many there are. */
export function summary(
  [first = "no faults", ...others]: readonly string[],
): string {
  return others.length === 0
    ? first
    : `${first} (and ${others.length} others like it)`;
}

function cpuOfAll(nodes: readonly Child[]): number {
  return nodes.reduce((sum, { pid }) => sum + cpuOf(pid), 0);
}
