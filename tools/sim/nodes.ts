import { names } from "./cluster.ts";
import type { Parts } from "./parts.ts";
import { Node } from "@devts/node";
import { simulatedParts } from "@devts/node/testing";
import type {
  Fault,
  Scenario,
  VirtualMachine,
  VirtualNetwork,
} from "@devts/routing/testing";
import { ConnectionError } from "@devts/transport";

const NODES = 6;
const LENGTH = 20_000;
const FAULTS = 8;
/** In which all is well again, in ms. */
const LIMIT = 40_000;
/** Events that each node emits once all is well again. */
const EVENTS = 20;
/** How often each life of a node may change what it handles. */
const CHANGES = 4;

interface Events {
  /** Handled by all. */
  count(number: number): void;
  /** Handled by some, who begin and end to while there are faults. */
  some(number: number): void;
}

/** A whole node, and what it received. */
interface Running {
  readonly node: Node<Events>;
  readonly received: { readonly from: string; readonly number: number }[];
  /** Who sent the events that some handle. */
  readonly some: string[];
  /** Whether it is one of those. */
  handles(): boolean;
  /** When it last saw a member come or go. */
  changedAt(): number;
}

/**
 * Whole nodes under faults: afterwards each event reaches every other node that handles
 * it once, in order, and its sender knows how many those are.
 */
export function nodes(parts: Parts): Scenario {
  return {
    name: "nodes",
    isAsync: true,
    script: (random) => Array.from({ length: FAULTS }, () => anyFault(random)),
    async run(run) {
      const network = run.network({
        latency: 2,
        jitter: 8,
        loss: 0.02,
        backoff: true,
        giveUp: 30_000,
        dialTimeout: 10_000,
      });
      const { clock } = network;
      const running = start(network, parts);
      await clock.passUntil(() => isWhole(running), LIMIT);
      network.play(run.script);
      const end = Math.max(
        0,
        ...run.script.map((fault) => fault.at + (fault.for ?? 0)),
      );
      await clock.pass(end);
      const healed = clock.now();
      await clock.pass(LIMIT);
      if (!isWhole(running)) throw new Error(notWhole(running));
      for (const { received } of running.values()) received.length = 0;
      for (let number = 0; number < EVENTS; number++) {
        for (const { node } of running.values()) node.emit("count", number);
      }
      const outcomes = await Promise.all(
        [...running.values()].map(({ node }) => node.emit("some", 0)),
      );
      await clock.pass(10_000);
      check(running);
      checkSome([...running.values()], outcomes.map(({ nodes }) => nodes));
      const changes = [...running.values()].map(({ changedAt }) => changedAt());
      const last = Math.max(healed, ...changes);
      return { "whole again after the faults (ms)": last - healed };
    },
  };
}

function anyFault(random: () => number): Fault {
  const at = Math.floor(LENGTH * random());
  const ids = names(NODES);
  const node = ids[Math.floor(NODES * random())] ?? "";
  const others = ids.filter((id) => id !== node);
  const length = Math.floor(5_000 * random());
  switch (Math.floor(7 * random())) {
    case 0:
      return { at, do: "crash", node, how: "links", for: length };
    case 1:
      return { at, do: "crash", node, how: "silence", for: length };
    case 2:
      return { at, do: "stall", node, for: length };
    case 3:
      return { at, do: "slow", node, pace: 1 + 4 * random(), for: length };
    case 4:
      // The wall clock is set, by up to an hour either way.
      return {
        at,
        do: "clock",
        node,
        skew: { offset: Math.floor(7_200_000 * (random() - 0.5)) },
      };
    case 5:
      return {
        at,
        do: "shape",
        shape: { loss: 0.3, latency: 20, jitter: 50 },
        link: { from: node, to: others[0] ?? "" },
        for: length,
      };
    default:
      return { at, do: "cut", from: [node], to: others, for: length };
  }
}

/** Starts a machine for each node, by id; a restart replaces what is running there. */
function start(network: VirtualNetwork, parts: Parts): Map<string, Running> {
  const running = new Map<string, Running>();
  for (const id of names(NODES)) {
    network.machine(id, {
      connectionError: ConnectionError,
      start: (machine) => running.set(id, boot(machine, network, parts)),
    });
  }
  return running;
}

function boot(
  machine: VirtualMachine,
  { clock, random }: VirtualNetwork,
  parts: Parts,
): Running {
  const { id } = machine;
  const node = new Node<Events>({
    ...simulatedParts(machine),
    router: parts.router.make(),
    membership: parts.membership(),
  });
  const received: { from: string; number: number }[] = [];
  node.on("count", (number, { from }) => {
    received.push({ from, number });
  });
  const some: string[] = [];
  let handler: Disposable | null = null;
  const decide = (): void => {
    if (random() < 0.5) {
      handler ??= node.on("some", (_, { from }) => some.push(from));
    } else {
      handler?.[Symbol.dispose]();
      handler = null;
    }
  };
  decide();
  for (let i = 0; i < CHANGES; i++) {
    machine.clock.after(LENGTH * random(), decide);
  }
  let changedAt = 0;
  const change = (): void => {
    changedAt = clock.now();
  };
  node.onSystem("join", change);
  node.onSystem("leave", change);
  node.listen(`virtual://${id}`);
  const entry = id === "n0" ? "n1" : "n0";
  node.join(`virtual://${entry}`);
  return {
    node,
    received,
    some,
    handles: () => handler !== null,
    changedAt: () => changedAt,
  };
}

function isWhole(running: ReadonlyMap<string, Running>): boolean {
  for (const { node } of running.values()) {
    if (node.members.size !== NODES - 1) return false;
  }
  return running.size === NODES;
}

function notWhole(running: ReadonlyMap<string, Running>): string {
  const views = [...running].map(([id, { node }]) =>
    `"${id}" knows [${[...node.members.keys()].sort()}]`
  );
  return `${LIMIT} ms after the last fault, ${views.join(", ")}`;
}

function check(running: ReadonlyMap<string, Running>): void {
  const expected = Array.from({ length: EVENTS }, (_, number) => number).join();
  for (const [id, { received }] of running) {
    for (const from of running.keys()) {
      if (from === id) continue;
      const numbers = received.filter((one) => one.from === from)
        .map(({ number }) => number).join();
      if (numbers === expected) continue;
      throw new Error(
        `"${id}" received from "${from}": ${numbers || "nothing"}`,
      );
    }
  }
}

function checkSome(
  running: readonly Running[],
  outcomes: readonly number[],
): void {
  const handling = running.filter(({ handles }) => handles());
  for (const [at, { node: { id }, handles, some }] of running.entries()) {
    const told = outcomes[at];
    const others = handling.length - (handles() ? 1 : 0);
    if (told !== others) {
      throw new Error(`"${id}" emits to ${told} nodes what ${others} handle`);
    }
    const senders = running.map(({ node }) => node.id)
      .filter((other) => handles() && other !== id);
    if (some.sort().join() === senders.sort().join()) continue;
    throw new Error(
      `"${id}" received from [${some}] what [${senders}] sent to it`,
    );
  }
}
