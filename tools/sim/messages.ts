import { names } from "./cluster.ts";
import type { Parts } from "./parts.ts";
import { Node } from "@devts/node";
import { simulatedParts } from "@devts/node/testing";
import {
  graph,
  type GraphKind,
  type Scenario,
  type Timed,
  type VirtualMachine,
  type VirtualNetwork,
} from "@devts/routing/testing";
import {
  ConnectionError,
  type Transport,
  wrapTransport,
} from "@devts/transport";

/** Events of all nodes together. */
const EVENTS = 200;
/** In which all of them are sent, in ms. */
const LENGTH = 400;
/** In which all nodes find each other, and learn what the others handle, in ms. */
const FORMING = 60_000;
const LEARNING = 20_000;
/** In which the last event arrives, in ms. */
const SETTLE = 20_000;
const KINDS: readonly GraphKind[] = ["line", "ring", "star", "tree", "random"];

/** One call of a node; the numbers from 0 to 1 say whose, which, and to whom. */
export interface Call extends Timed {
  readonly sender: number;
  readonly what: number;
  readonly target: number;
}

/** Events of the scenario; the data is a number of the sender. */
export interface Events {
  /** Handled by all. */
  all(number: number): void;
  /** Handled by some. */
  "some.one"(number: number): void;
  "some.other"(number: number): void;
  /** For one of two groups each, and for some. */
  job(number: number): void;
}

/** A node, and what it handled, of each sender in order. */
export interface Running {
  readonly node: Node<Events>;
  readonly got: Map<string, number[]>;
}

/**
 * Whole nodes on a random connected graph send by `emit`, `send` and to groups in turns:
 * each handler of an event gets it once, one member of each group does, and the events
 * of each sender come in its order, whichever way they were sent.
 */
export function messages(parts: Parts): Scenario<Call> {
  return {
    name: "messages",
    isAsync: true,
    script: (random) =>
      Array.from({ length: EVENTS }, () => anyCall(LENGTH, random)),
    async run(run) {
      const network = run.network({ latency: 1, jitter: 5, loss: 0.02 });
      const { random, clock } = network;
      const ids = names(4 + Math.floor(5 * random()));
      const kind = parts.router.relays
        ? KINDS[Math.floor(KINDS.length * random())] ?? "ring"
        : "mesh";
      const running = await start(network, parts, ids, kind);
      await clock.pass(LEARNING);
      const expected = new Expected(running);
      for (const call of run.script) {
        clock.after(call.at, () => expected.call(call));
      }
      await clock.pass(LENGTH + SETTLE);
      expected.check(`on a ${kind} of ${ids.length} nodes`);
      return expected.figures;
    },
  };
}

/** A call at any time up to a length, in ms. */
export function anyCall(length: number, random: () => number): Call {
  return {
    at: Math.floor(length * random()),
    sender: random(),
    what: random(),
    target: random(),
  };
}

async function start(
  network: VirtualNetwork,
  parts: Parts,
  ids: readonly string[],
  kind: GraphKind,
): Promise<readonly Running[]> {
  const links = graph(kind, ids, network.random);
  const running = new Map<string, Running>();
  for (const id of ids) {
    const neighbours = links.filter((link) => link.includes(id)).flat()
      .filter((other) => other !== id);
    network.machine(id, {
      connectionError: ConnectionError,
      start: (machine) =>
        running.set(id, boot(machine, parts, ids.indexOf(id), neighbours)),
    });
  }
  await network.clock.passUntil(
    () =>
      [...running.values()].every(({ node }) =>
        node.members.size === ids.length - 1
      ),
    FORMING,
  );
  return [...running.values()];
}

function boot(
  machine: VirtualMachine,
  parts: Parts,
  at: number,
  neighbours: readonly string[],
): Running {
  const node = new Node<Events>({
    ...simulatedParts(machine),
    router: parts.router.make(),
    membership: parts.membership(),
    transport: within(machine.transport, neighbours),
  });
  const running = handling(node, at);
  node.listen(`virtual://${machine.id}`);
  for (const id of neighbours) node.join(`virtual://${id}`);
  return running;
}

/** Handles the events as the node at some place among all does. */
export function handling(node: Node<Events>, at: number): Running {
  const got = new Map<string, number[]>();
  const note = (number: number, { from }: { readonly from: string }): void => {
    const numbers = got.get(from) ?? [];
    got.set(from, numbers);
    numbers.push(number);
  };
  node.on("all", note);
  if (at % 2 === 0) node.on("some.*", note);
  if (at % 3 === 0) node.on("job", note);
  else node.on("job", note, { group: at % 3 === 1 ? "red" : "blue" });
  return { node, got };
}

/** A transport that reaches some only. */
export function within(
  transport: Transport,
  ids: readonly string[],
): Transport {
  return wrapTransport(transport, {
    connect: (address, options) =>
      ids.some((id) => address === `virtual://${id}`)
        ? transport.connect(address, options)
        : Promise.reject(new ConnectionError(`no way to ${address}`)),
  });
}

/** What was sent, and what has to come. */
export class Expected {
  readonly #running: readonly Running[];
  /** How many handlers in all are to get each event, by sender. */
  readonly #sent = new Map<string, number[]>();
  #calls = 0;
  #groups = 0;
  #lost = 0;

  /** Nothing was sent yet. */
  constructor(running: readonly Running[]) {
    this.#running = running;
  }

  /** How much was sent. */
  get figures(): Record<string, number> {
    return {
      "events": this.#calls,
      "events to groups": this.#groups,
      "lost, and told": this.#lost,
    };
  }

  /** Sends an event. */
  call({ sender, what, target }: Call): void {
    const { node } = this.#at(sender);
    const sent = this.#sent.get(node.id) ?? [];
    this.#sent.set(node.id, sent);
    const number = sent.length;
    const places = this.#running.map((_, at) => at);
    const others = places.filter((at) => this.#running[at]?.node !== node);
    this.#calls++;
    if (what < 0.3) {
      node.emit("all", number);
      sent.push(others.length);
    } else if (what < 0.5) {
      node.emit(what < 0.4 ? "some.one" : "some.other", number);
      sent.push(others.filter((at) => at % 2 === 0).length);
    } else if (what < 0.75) {
      this.#groups++;
      node.emit("job", number);
      const groups = new Set(
        places.filter((at) => at % 3 !== 0).map((at) => at % 3),
      );
      sent.push(others.filter((at) => at % 3 === 0).length + groups.size);
    } else {
      node.send(this.#at(target).node.id, "all", number);
      sent.push(1);
    }
  }

  /** How many events the nodes say were lost. */
  get #told(): number {
    let told = 0;
    for (const { node: { counters } } of this.#running) {
      told += counters.missed + counters.dropped + counters.undelivered;
    }
    return told;
  }

  /** How many more are to be handled. */
  get missing(): number {
    let missing = 0;
    for (const sent of this.#sent.values()) {
      for (const count of sent) missing += count;
    }
    for (const { got } of this.#running) {
      for (const numbers of got.values()) missing -= numbers.length;
    }
    return missing;
  }

  /**
   * Compares.
   *
   * @throws {Error} If an event came too often, too rarely, or out of order.
   */
  check(where: string): void {
    for (const { node: { id: from } } of this.#running) {
      const counts = (this.#sent.get(from) ?? []).map(() => 0);
      for (const { node, got } of this.#running) {
        let last = -1;
        for (const number of got.get(from) ?? []) {
          if (number <= last) {
            throw new Error(
              `${where}, "${node.id}" got event ${number} of "${from}" after ${last}`,
            );
          }
          last = number;
          counts[number] = (counts[number] ?? 0) + 1;
        }
      }
      for (const [number, count] of counts.entries()) {
        const wanted = this.#sent.get(from)?.[number] ?? 0;
        if (count === wanted) continue;
        // What is lost when a router gives up a link is told.
        this.#lost += wanted - count;
        if (count < wanted && this.#lost <= this.#told) continue;
        throw new Error(
          `${where}, event ${number} of "${from}" was handled ${count} times, not ${wanted}`,
        );
      }
    }
  }

  #at(part: number): Running {
    const one = this.#running[Math.floor(this.#running.length * part)];
    if (one === undefined) throw new RangeError(`no node at ${part}`);
    return one;
  }
}
