import { createNode, KeyringError, type Node } from "@devts/devts";
import { createSecret } from "@devts/protocol/secret";
import { Others } from "../../../bench/processes.ts";
import { late } from "../late.ts";
import type { Measurement, MeasureOptions, Row } from "../runner.ts";

const NODES = 4;
const ROUNDS = 3;
/** Requests under way from each node to each other. */
const UNDER_WAY = 2;
/** The longest that two nodes may have no link, in ms. */
const LONGEST = 2_000;
/** How long to wait before a request is tried again, in ms: as long as a link may be away. */
const RETRY_AFTER = LONGEST;
/** What a request may take, in ms. */
const TIMEOUT = 2_000;
/** Time under load before each round, in ms, and requests in it, at least. */
const BEFORE = 500;
const ENOUGH = 400;

interface Events {
  add(numbers: readonly number[]): number;
}

/** What the load saw. */
interface Load {
  requests: number;
  retried: number;
  /** Those of them that are about to be. */
  retrying: number;
  failed: number;
  /** The longest time without a link between two nodes, in ms. */
  longest: number;
}

/** A cluster changes its secret while all of its nodes send requests to each other. */
export const rotation: Row = {
  what: `${ROUNDS} rotations of the secret under load, ${NODES} nodes over TLS`,
  target: "no link lost longer than 2 s, no request failed after one retry",
  measure,
};

async function measure({ progress }: MeasureOptions): Promise<Measurement> {
  const logger = { debug() {}, info() {}, warn() {}, error() {} };
  const secret = createSecret();
  await using stack = new AsyncDisposableStack();
  const nodes = Array.from({ length: NODES }, () => {
    const node = createNode<Events>({ cluster: "demo", secret, logger });
    node.on("add", (numbers) => numbers.reduce((a, b) => a + b, 0));
    return stack.use(node);
  });
  const [first] = nodes;
  if (first?.keyring == null) throw new TypeError("There is no keyring");
  for (const node of nodes) {
    await node.listen("tcp://127.0.0.1:0");
    if (node !== first) await node.join(...first.addresses);
  }
  while (nodes.some(({ members }) => members.size < NODES - 1)) await pause(5);
  const load: Load = {
    ...{ requests: 0, retried: 0, retrying: 0, failed: 0 },
    longest: 0,
  };
  const others = new Others();
  const stop = new AbortController();
  const work = put(nodes, load, stop.signal);
  const faults: string[] = [];
  const bear = async (): Promise<void> => {
    const enough = load.requests + ENOUGH;
    await pause(BEFORE);
    // What the round before broke is tried again before the next one breaks it.
    while (load.requests < enough || load.retrying > 0) await pause(10);
  };
  for (let round = 0; round < ROUNDS; round++) {
    progress(`round ${round + 1} of ${ROUNDS}, ${load.requests} requests`);
    await bear();
    faults.push(...await rotate(first, first.keyring));
  }
  await bear();
  stop.abort();
  await work;
  for (const node of nodes) {
    const keys = await node.keyring?.keys() ?? [];
    if (keys.length !== 1) {
      faults.push(`node ${node.id} has ${keys.length} keys`);
    }
  }
  const figure = `${load.requests} requests, ${load.retried} tried again, ` +
    `${load.failed} failed; no link for ${
      Math.round(load.longest)
    } ms at most` +
    (faults.length > 0 ? `; ${faults.join("; ")}` : "");
  const isRight = faults.length === 0 && load.requests > 1_000;
  const isLate = load.failed > 0 || load.longest > LONGEST;
  return isRight && isLate
    ? late(figure, others)
    : { figure, held: isRight && !isLate };
}

/** Installs, uses and removes; what went wrong. */
async function rotate(
  node: Node<Events>,
  keyring: NonNullable<Node["keyring"]>,
): Promise<string[]> {
  const [old] = await keyring.keys();
  if (old === undefined) return ["there is no key"];
  const faults: string[] = [];
  // A key in use is not to be removed.
  try {
    await keyring.remove(old.id);
    faults.push("a key in use was removed");
  } catch (error) {
    if (!(error instanceof KeyringError)) faults.push(String(error));
  }
  const { id, nodes } = await keyring.install(createSecret());
  const reports = [nodes, await keyring.use(id), await keyring.remove(old.id)];
  for (const report of reports) {
    if (report.size !== NODES) faults.push(`${report.size} nodes reported`);
    for (const [id, fault] of report) {
      if (fault !== null) faults.push(`node ${id} of ${node.id}: ${fault}`);
    }
  }
  return faults;
}

/** All nodes send requests to all others until it is stopped. */
async function put(
  nodes: readonly Node<Events>[],
  load: Load,
  signal: AbortSignal,
): Promise<void> {
  const pairs = nodes.flatMap((from) =>
    nodes.filter((to) => to !== from).map((to) => [from, to] as const)
  );
  await Promise.all(pairs.flatMap(([from, to]) => [
    watch(from, to, load, signal),
    ...Array.from(
      { length: UNDER_WAY },
      () => ask(from, to, load, signal),
    ),
  ]));
}

async function ask(
  from: Node<Events>,
  to: Node<Events>,
  load: Load,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    load.requests++;
    if (await isAnswered(from, to)) {
      await pause(1);
      continue;
    }
    load.retried++;
    load.retrying++;
    await pause(RETRY_AFTER);
    if (!await isAnswered(from, to)) load.failed++;
    load.retrying--;
  }
}

async function isAnswered(
  from: Node<Events>,
  to: Node<Events>,
): Promise<boolean> {
  try {
    return await from.request(to.id, "add", [1, 2], { timeout: TIMEOUT }) === 3;
  } catch {
    return false;
  }
}

/** Looks how long there is no link. */
async function watch(
  from: Node<Events>,
  to: Node<Events>,
  load: Load,
  signal: AbortSignal,
): Promise<void> {
  let since: number | null = null;
  while (!signal.aborted) {
    const now = performance.now();
    if (from.explain(to.id).isReachable) since = null;
    else {
      since ??= now;
      load.longest = Math.max(load.longest, now - since);
    }
    await pause(10);
  }
}

function pause(time: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, time));
}
