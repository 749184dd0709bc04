/** Whole nodes for tests, in a network of their own. It registers no tests. */
import { incarnationAbove, nextIncarnation } from "@devts/routing";
import { peerRouter } from "@devts/routing/peer";
import { swim } from "@devts/routing/swim";
import { seededRandom, VirtualClock } from "@devts/routing/testing";
import { msgpackr } from "@devts/protocol/msgpackr";
import { v1 } from "@devts/protocol/v1";
import {
  type Connection,
  type Transport,
  wrapConnection,
  wrapTransport,
} from "@devts/transport";
import { memory, MemoryNetwork } from "@devts/transport/memory";
import { Node } from "./node.ts";
import { Log, pass, passFor, START } from "./_support_test.ts";
import type {
  AnyEvents,
  NodeParts,
  SystemEventName,
  SystemEvents,
} from "./types.ts";

/** A node under test and what it told. */
export interface Tested<E extends object> {
  readonly node: Node<E>;
  readonly log: Log;
  /** The system events it told, in order. */
  readonly told: readonly Told[];
}

/** A system event. */
export type Told = {
  [K in SystemEventName]: {
    readonly name: K;
    readonly event: SystemEvents[K];
  };
}[SystemEventName];

/** A network in one process, whose nodes share a virtual clock. */
export class World implements AsyncDisposable {
  readonly clock = new VirtualClock();
  readonly network = new MemoryNetwork();
  readonly random = seededRandom(7);
  readonly #nodes: Node<object>[] = [];
  readonly #cuts = new Map<string, (isCut: boolean) => void>();

  /** Makes a node; `overrides` replace its parts. */
  add<E extends object = AnyEvents>(
    id: string,
    overrides: Partial<NodeParts> = {},
  ): Tested<E> {
    const log = new Log();
    const node = new Node<E>(this.parts(id, { logger: log, ...overrides }));
    this.#nodes.push(node);
    return { node, log, told: listenToAll(node) };
  }

  /** The parts of a node. */
  parts(id: string, overrides: Partial<NodeParts> = {}): NodeParts {
    return {
      cluster: "test",
      id,
      incarnations: incarnationsFrom(START),
      transport: overrides.transport ?? this.#cuttable(id),
      link: (connection) => connection,
      protocol: v1(),
      codec: msgpackr(),
      router: peerRouter(),
      membership: swim(),
      logger: new Log(),
      clock: this.clock,
      wallClock: () => Date.UTC(2026, 0, 1) + this.clock.now(),
      random: this.random,
      advertise: [],
      insecure: false,
      meta: undefined,
      limits: {},
      ...overrides,
    };
  }

  /** Cuts a node off: what it sends is lost, and nobody reaches it. */
  cut(id: string): void {
    this.#cuts.get(id)?.(true);
  }

  /** Undoes `cut`, for what is sent from now on. */
  mend(id: string): void {
    this.#cuts.get(id)?.(false);
  }

  /** Closes all nodes. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closing = Promise.all(this.#nodes.map((node) => node.close()));
    await passFor(this.clock, closing);
  }

  #cuttable(id: string): Transport {
    let isCut = false;
    this.#cuts.set(id, (value) => {
      isCut = value;
    });
    const inner = memory(this.network);
    return wrapTransport(inner, {
      connect: (address, options) =>
        isCut
          ? Promise.reject(new Error("the network is down"))
          : inner.connect(address, options),
      connection: (connection) => deaf(connection, () => isCut),
    });
  }
}

/** A connection that carries nothing more once it is cut; nobody is told. */
function deaf(connection: Connection, isCut: () => boolean): Connection {
  return wrapConnection(connection, {
    send: (message) => isCut() ? Promise.resolve() : connection.send(message),
    async receive(options) {
      for (;;) {
        const message = await connection.receive(options);
        if (message === null || !isCut()) return message;
      }
    },
    close: (reason) => connection.close(reason),
  });
}

/** The incarnations of a life of a node that begins with this one. */
export function incarnationsFrom(first: number): NodeParts["incarnations"] {
  return { first, next: nextIncarnation, above: incarnationAbove };
}

/** A world in virtual time. */
export function virtualWorld(): World {
  return new World();
}

/** Two nodes, "ada" and "bob", that listen and know each other. */
export async function pair<E extends object = AnyEvents>(
  world: World,
  overrides: Partial<NodeParts> = {},
): Promise<{ one: Tested<E>; two: Tested<E> }> {
  const one = world.add<E>("ada", overrides);
  const two = world.add<E>("bob", overrides);
  await passFor(world.clock, one.node.listen("memory://ada"));
  await passFor(world.clock, two.node.listen("memory://bob"));
  await passFor(world.clock, two.node.join("memory://ada"));
  await pass(world.clock, 1_000);
  return { one, two };
}

const SYSTEM_EVENTS: readonly SystemEventName[] = [
  "ready",
  "join",
  "leave",
  "update",
  "gap",
  "deadLetter",
  "slowLink",
  "incompatible",
  "conflict",
  "error",
  "close",
];

function listenToAll<E extends object>(node: Node<E>): Told[] {
  const told: Told[] = [];
  function listen<K extends SystemEventName>(
    name: K,
    make: (event: SystemEvents[K]) => Told,
  ): void {
    node.onSystem(name, (event) => told.push(make(event)));
  }
  listen("ready", (event) => ({ name: "ready", event }));
  listen("join", (event) => ({ name: "join", event }));
  listen("leave", (event) => ({ name: "leave", event }));
  listen("update", (event) => ({ name: "update", event }));
  listen("gap", (event) => ({ name: "gap", event }));
  listen("deadLetter", (event) => ({ name: "deadLetter", event }));
  listen("slowLink", (event) => ({ name: "slowLink", event }));
  listen("incompatible", (event) => ({ name: "incompatible", event }));
  listen("conflict", (event) => ({ name: "conflict", event }));
  listen("error", (event) => ({ name: "error", event }));
  listen("close", (event) => ({ name: "close", event }));
  return told;
}

/** How often each system event was told. */
export function tally(told: readonly Told[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of SYSTEM_EVENTS) {
    const count = told.filter((one) => one.name === name).length;
    if (count > 0) counts[name] = count;
  }
  return counts;
}

/** A transport that never answers a dial, until it is aborted. */
export function silent(transport: Transport): Transport {
  return {
    schemes: transport.schemes,
    listen: (address) => transport.listen(address),
    connect: (_address, options) =>
      new Promise((_resolve, reject) => {
        const { signal } = options ?? {};
        signal?.addEventListener("abort", () => reject(signal.reason));
      }),
  };
}

/** A transport whose dials and messages take as long as `delay` says; order is kept. */
export function delayed(
  network: MemoryNetwork,
  clock: VirtualClock,
  delay: () => number,
): Transport {
  const inner = memory(network);
  return wrapTransport(inner, {
    async connect(address, options) {
      await new Promise<void>((resolve) => clock.after(delay(), resolve));
      return await inner.connect(address, options);
    },
    connection: (connection) => late(connection, clock, delay),
  });
}

function late(
  connection: Connection,
  clock: VirtualClock,
  delay: () => number,
): Connection {
  let free = 0;
  let broken = false;
  function inTurn(action: () => Promise<void>): void {
    free = Math.max(free, clock.now() + delay());
    clock.after(free - clock.now(), () => {
      if (!broken) action().catch(() => {});
    });
  }
  return wrapConnection(connection, {
    send(message) {
      const copy = message.slice();
      inTurn(() => connection.send(copy));
      return Promise.resolve();
    },
    close(reason) {
      if (reason) {
        broken = true;
        return connection.close(reason);
      }
      inTurn(() => connection.close());
      return Promise.resolve();
    },
  });
}
