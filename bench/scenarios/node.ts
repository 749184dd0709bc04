/**
 * A node in a process of its own, which emits and sends in several ways and checks what
 * arrives: `node.ts ID`. The other nodes are called `node-0`, `node-1` and so on.
 *
 * @module
 */

import { createNode, type Outcome } from "@devts/devts";
import {
  FIRST,
  isRight,
  isWhole,
  type Item,
  itemOf,
  sequenceOf,
  SIZES,
  stamp,
  template,
} from "../payload.ts";
import { now, quiet, serve, until } from "../serve.ts";
import { Tally } from "./tally.ts";

interface Events {
  object128(item: Item): void;
  bytes128(bytes: Uint8Array): void;
}

/** Publishes the message of a sequence number. */
type Way = (sequence: number) => Promise<Outcome>;

/** One in so many messages is compared byte by byte. */
const SAMPLED = 1_024;
/** Where what `emit()` returns is not awaited each time, one in so many is. */
const SELDOM = 1_000;

const [id = ""] = Deno.args;
const node = createNode<Events>({
  cluster: "bench",
  id,
  logger: quiet,
  linkPlugins: [(connection) => {
    seen.links++;
    return connection;
  }],
});

/** What happened to this node's links: how many there were, and what they told. */
const seen = { links: 0, leaves: 0, slow: 0, missed: 0 };
node.onSystem("leave", () => seen.leaves++);
node.onSystem("slowLink", () => seen.slow++);
node.onSystem("gap", ({ missed }) => seen.missed += missed);

const tally = new Tally();
node.on("object128", (item, { from }) => {
  tally.add(from, isRight(item) ? item.id : -1);
});
node.on("bytes128", (bytes, { from }) => {
  tally.add(from, checked(bytes));
  return held?.promise;
});

/** While there is one, handlers do not end, so that the node reads no further. */
let held: PromiseWithResolvers<void> | null = null;

function checked(bytes: Uint8Array): number {
  const sequence = sequenceOf(bytes);
  if (sequence % SAMPLED !== 0) return sequence;
  return isWhole(bytes, sequence) ? sequence : -1;
}

const bytes = template(SIZES.bytes128);

function emitting(kind: string): Way {
  return kind === "object128"
    ? (sequence) => node.emit("object128", itemOf(sequence))
    : (sequence) => node.emit("bytes128", stamp(bytes, sequence));
}

function sendingTo(to: string, kind: string): Way {
  return kind === "object128"
    ? (sequence) => node.send(to, "object128", itemOf(sequence))
    : (sequence) => node.send(to, "bytes128", stamp(bytes, sequence));
}

async function publish(
  how: string,
  kind: string,
  count: number,
): Promise<void> {
  const emit = emitting(kind);
  const send = sendingTo("node-1", kind);
  switch (how) {
    case "emit":
      return await alternate([emit], 0, count);
    case "emit without await":
      return await seldomAwaiting(emit, count);
    case "emit and send":
      return await alternate([emit, send], 0, count);
    case "emit, then send":
      await alternate([emit], 0, count / 2);
      return await alternate([send], count / 2, count);
    case "send to 1":
    case "send to 2":
    case "send to 7":
      return await alternate(
        Array.from(
          { length: Number(how.at(-1)) },
          (_, index) => sendingTo(`node-${index + 1}`, kind),
        ),
        0,
        count,
      );
  }
  throw new TypeError(`There is no way to publish called "${how}"`);
}

async function alternate(
  ways: readonly Way[],
  start: number,
  end: number,
): Promise<void> {
  for (let index = start; index < end; index++) {
    await ways[index % ways.length]?.(FIRST + index);
  }
}

async function seldomAwaiting(emit: Way, count: number): Promise<void> {
  for (let index = 0; index < count; index++) {
    const outcome = emit(FIRST + index);
    if (index % SELDOM === 0) await outcome;
  }
}

let stopped = true;
let streaming: Promise<number> = Promise.resolve(0);

/** Emits until it is stopped, and resolves to how many. */
async function stream(): Promise<number> {
  const emit = emitting("bytes128");
  let sequence = FIRST;
  while (!stopped) await emit(sequence++);
  return sequence - FIRST;
}

await serve({
  listen: async () => ({ address: await node.listen("tcp://127.0.0.1:0") }),
  join: async (args) => ({ answered: await node.join(args.text("address")) }),
  // Waits until there are so many other members; one counts once it can be sent to.
  linked: async (args) => {
    const nodes = args.number("nodes");
    await until(() => node.members.size === nodes, 30_000);
    return { nodes: node.members.size };
  },
  expect: (args) =>
    tally.expect({
      first: args.number("first"),
      step: args.number("step"),
      total: args.number("total"),
    }),
  arrived: (args) => tally.arrived(args.number("total")),
  publish: async (args) => {
    const startedAt = now();
    await publish(args.text("how"), args.text("kind"), args.number("count"));
    return { startedAt, dropped: node.counters.dropped };
  },
  start: () => {
    stopped = false;
    streaming = stream();
    return {};
  },
  stop: async () => {
    stopped = true;
    return { sent: await streaming };
  },
  hold: () => {
    held = Promise.withResolvers<void>();
    return {};
  },
  release: () => {
    held?.resolve();
    held = null;
    return {};
  },
  report: () => {
    const { broken, dropped, violations } = node.counters;
    const { received } = tally;
    const nodes = node.members.size;
    return { at: now(), received, nodes, broken, dropped, violations, ...seen };
  },
});
await node.close();
