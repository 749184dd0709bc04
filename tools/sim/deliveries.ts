import { names } from "./cluster.ts";
import { within } from "./messages.ts";
import type { Parts } from "./parts.ts";
import { DeliveryError, type DeliveryOutcome, Node } from "@devts/node";
import { simulatedParts } from "@devts/node/testing";
import type {
  Fault,
  Scenario,
  Timed,
  VirtualMachine,
  VirtualNetwork,
} from "@devts/routing/testing";
import { ConnectionError } from "@devts/transport";

/** Calls of all nodes together, and faults. */
const CALLS = 40;
const FAULTS = 3;
/** In which all of them happen, in ms. */
const LENGTH = 4_000;
/** How long a fault lasts at most, in ms. */
const FAULT_LENGTH = 3_000;
/** In which all nodes find each other, and learn what the others handle, in ms. */
const FORMING = 60_000;
const LEARNING = 2_000;
/** How long a call is tried, in ms, and how long a group may take. */
const TIMEOUT = 6_000;
const PATIENCE = 1_500;
/** In which a call settles after its time is over, in ms. */
const LATE = 200;
/** In which a call to all settles where nodes do no worse than leave, in ms. */
const SOON = 3_000;

/** One call of a node; the numbers from 0 to 1 say whose, which, and how. */
interface Call extends Timed {
  readonly do: "call";
  readonly sender: number;
  readonly what: number;
  readonly acks: number;
  readonly target: number;
}

/** A node closes, or drains first, and comes back after a while. */
interface Leave extends Timed {
  readonly do: "retire";
  readonly node: string;
  readonly drains: boolean;
  readonly for: number;
}

/** What happens in a run. */
type Step = Call | Fault | Leave;

/** Events of the scenario; the data is the number of the call. */
interface Events {
  /** Handled by all, at once or after a while. */
  set(number: number): void;
  /** For one of a group. */
  job(number: number): void;
  /** As `set`, but it fails at some. */
  flaky(number: number): void;
}

/** What one life of a node did with one event. */
interface Handled {
  begun: number;
  ended: number;
  failed: number;
}

/** A node from its start to its end. */
interface Life {
  readonly node: Node<Events>;
  readonly machine: VirtualMachine;
  readonly number: number;
  readonly handled: Map<string, Handled>;
  isLeaving: boolean;
}

/** A call, and what came of it. */
interface Made {
  readonly name: keyof Events;
  readonly number: number;
  readonly sender: Life;
  readonly acks: "all" | "quorum" | number;
  readonly at: number;
  /** When it settled; `null`: it has not. */
  settledAt: number | null;
  isHeld: boolean;
  outcome: DeliveryOutcome | null;
}

/**
 * Whole nodes deliver to all and to groups under loss, partitions, stalls and crashes:
 * whoever a call says has it has handled it, no life of a node handles it twice, and
 * every call settles in time, with an outcome that is true.
 */
export function deliveries(parts: Parts): Scenario<Step> {
  return scenario("deliveries", parts, anyFault, null);
}

/**
 * The same, but nodes do no worse than leave in good order and come back: then calls to
 * all are over soon, too, where nodes have links to each other, and whoever did not get
 * one had left.
 */
export function leaving(parts: Parts): Scenario<Step> {
  return scenario(
    "leaving",
    parts,
    anyLeave,
    parts.router.relays ? null : SOON,
  );
}

function scenario(
  name: string,
  parts: Parts,
  fault: (random: () => number) => Fault | Leave,
  soon: number | null,
): Scenario<Step> {
  return {
    name,
    isAsync: true,
    script: (random) => [
      ...Array.from({ length: CALLS }, (): Call => ({
        at: Math.floor(LENGTH * random()),
        do: "call",
        sender: random(),
        what: random(),
        acks: random(),
        target: random(),
      })),
      ...Array.from({ length: FAULTS }, () => fault(random)),
    ],
    async run(run) {
      const network = run.network({
        latency: 1,
        jitter: 5,
        loss: 0.02,
        backoff: true,
        giveUp: 30_000,
      });
      const { clock } = network;
      const test = new Test(network, parts);
      await test.form();
      const faults: Fault[] = [];
      for (const step of run.script) {
        if (step.do === "call") clock.after(step.at, () => test.call(step));
        else if (step.do === "retire") {
          clock.after(step.at, () => test.leave(step));
        } else faults.push(step);
      }
      network.play(faults);
      await clock.pass(LENGTH + TIMEOUT + LATE);
      return test.check(soon);
    },
  };
}

const NODES = 4;

function anyLeave(random: () => number): Leave {
  return {
    at: Math.floor(LENGTH * random()),
    do: "retire",
    node: names(NODES)[Math.floor(NODES * random())] ?? "",
    drains: random() < 0.5,
    for: Math.floor(FAULT_LENGTH * random()),
  };
}

function anyFault(random: () => number): Fault {
  const at = Math.floor(LENGTH * random());
  const ids = names(NODES);
  const node = ids[Math.floor(NODES * random())] ?? "";
  const others = ids.filter((id) => id !== node);
  const length = Math.floor(FAULT_LENGTH * random());
  switch (Math.floor(6 * random())) {
    case 0:
      return { at, do: "crash", node, how: "links", for: length };
    case 1:
      return { at, do: "crash", node, how: "silence", for: length };
    case 2:
      return { at, do: "stall", node, for: length };
    case 3:
      return {
        at,
        do: "cut",
        from: [node],
        to: others,
        how: "links",
        for: length,
      };
    case 4:
      return { at, do: "shape", shape: { loss: 0.3 }, for: length };
    default:
      return { at, do: "cut", from: [node], to: others, for: length };
  }
}

class Test {
  readonly #network: VirtualNetwork;
  readonly #lives = new Map<string, Life[]>();
  readonly #calls: Made[] = [];
  /** Later calls would not be over at the end. */
  #calledUntil = 0;

  constructor(network: VirtualNetwork, parts: Parts) {
    this.#network = network;
    for (const id of names(NODES)) {
      this.#lives.set(id, []);
      network.machine(id, {
        connectionError: ConnectionError,
        start: (machine) => this.#boot(machine, parts),
      });
    }
  }

  /** All nodes know each other, and who handles what. */
  async form(): Promise<void> {
    const { clock } = this.#network;
    await clock.passUntil(
      () =>
        this.#running.every(({ node }) => node.members.size === NODES - 1) &&
        this.#running.length === NODES,
      FORMING,
    );
    await clock.pass(LEARNING);
    this.#calledUntil = clock.now() + LENGTH;
  }

  call({ sender, what, acks, target }: Call): void {
    const from = this.#running[Math.floor(NODES * sender)];
    const to = names(NODES)[Math.floor(NODES * target)] ?? "";
    if (!from?.machine.running) return;
    const name = what < 0.4 ? "set" : what < 0.8 ? "job" : "flaky";
    const isNamed = name === "set" && what < 0.1 && to !== from.node.id;
    this.#deliver(
      from,
      name,
      acks < 0.6 ? "all" : acks < 0.8 ? "quorum" : 1,
      isNamed ? to : null,
    );
  }

  #deliver(
    from: Life,
    name: keyof Events,
    acks: Made["acks"],
    to: string | null,
  ): void {
    const made: Made = {
      name,
      number: this.#calls.length,
      sender: from,
      acks,
      at: this.#network.clock.now(),
      settledAt: null,
      isHeld: false,
      outcome: null,
    };
    this.#calls.push(made);
    const settle = (outcome: DeliveryOutcome, isHeld: boolean): void => {
      made.settledAt = this.#network.clock.now();
      made.outcome = outcome;
      made.isHeld = isHeld;
    };
    from.node.deliver(made.name, made.number, {
      acks: made.acks,
      timeout: TIMEOUT,
      patience: PATIENCE,
      ...to !== null && { to },
    }).then(
      (outcome) => settle(outcome, true),
      (error) =>
        settle(
          error instanceof DeliveryError
            ? error.outcome
            : { acknowledged: [], missing: [] },
          false,
        ),
    );
  }

  /** A node closes, or drains first, and comes back. */
  leave({ node: id, drains, for: away }: Leave): void {
    const life = this.#lives.get(id)?.at(-1);
    if (life === undefined || !life.machine.running || life.isLeaving) return;
    life.isLeaving = true;
    const { node, machine } = life;
    const left = drains ? node.drain({ timeout: TIMEOUT }) : node.close();
    left.then(() => {
      machine.crash("links");
      this.#network.clock.after(away, () => machine.restart());
    });
  }

  /** Throws where something is not as it was promised. */
  check(soon: number | null): Record<string, number> {
    for (const made of this.#calls) {
      this.#checkCall(made);
      if (soon !== null) this.#checkSoon(made, soon);
    }
    for (const [id, lives] of this.#lives) {
      for (const { handled, number } of lives) {
        for (const [event, { begun }] of handled) {
          if (begun <= 1) continue;
          throw new Error(
            `start ${number} of "${id}" handled ${event} ${begun} times`,
          );
        }
      }
    }
    const settled = this.#calls.filter(({ outcome }) => outcome !== null);
    return {
      "calls": this.#calls.length,
      "calls that failed": settled.filter(({ isHeld }) => !isHeld).length,
      "jobs that two members began": this.#twice,
    };
  }

  get #running(): readonly Life[] {
    return [...this.#lives.values()].flatMap((lives) => lives.slice(-1));
  }

  get #twice(): number {
    const jobs = this.#calls.filter(({ name }) => name === "job");
    return jobs.filter((made) => this.#handledBy(made).length > 1).length;
  }

  /** Of all lives that began to handle a call, what they did. */
  #handledBy({ name, number }: Made): readonly [string, Handled][] {
    const all: [string, Handled][] = [];
    for (const [id, lives] of this.#lives) {
      for (const { handled } of lives) {
        const one = handled.get(`${name} ${number}`);
        if (one) all.push([id, one]);
      }
    }
    return all;
  }

  #checkCall(made: Made): void {
    const { name, number, sender, at, outcome, settledAt } = made;
    const what = `${name} ${number} of "${sender.node.id}"`;
    const isAlive = this.#running.includes(sender) &&
      sender.machine.running;
    if (outcome === null) {
      if (!isAlive) return;
      throw new Error(`${what} has not settled`);
    }
    if ((settledAt ?? Infinity) - at > TIMEOUT + FAULT_LENGTH) {
      throw new Error(`${what} settled after ${(settledAt ?? 0) - at} ms`);
    }
    const handled = this.#handledBy(made);
    for (const { node } of outcome.acknowledged) {
      if (handled.some(([id, one]) => id === node && one.ended > 0)) continue;
      throw new Error(`"${node}" acknowledged ${what}, and has not handled it`);
    }
    for (const { node, reason } of outcome.missing) {
      const own = handled.filter(([id]) => id === node);
      if (reason === "unhandled" && own.length > 0) {
        throw new Error(`"${node}" handled ${what}, and said that it does not`);
      }
      if (reason === "handler" && !own.some(([, one]) => one.failed > 0)) {
        throw new Error(`"${node}" failed at ${what}, but did not`);
      }
    }
    this.#checkCount(made, outcome, what);
  }

  /** Nobody waits for a node that has left. */
  #checkSoon(
    { name, number, sender, at, outcome, settledAt }: Made,
    soon: number,
  ): void {
    if (name === "job" || outcome === null || sender.isLeaving) return;
    const what = `${name} ${number} of "${sender.node.id}"`;
    if ((settledAt ?? Infinity) - at > soon) {
      throw new Error(`${what} settled after ${(settledAt ?? 0) - at} ms`);
    }
    for (const { node, reason } of outcome.missing) {
      if (["left", "handler", "pending"].includes(reason)) continue;
      throw new Error(`${what} is not known at "${node}": ${reason}`);
    }
  }

  #checkCount(
    { acks, isHeld }: Made,
    { acknowledged, missing }: DeliveryOutcome,
    what: string,
  ): void {
    const all = acknowledged.length + missing.length;
    const needed = acks === "all"
      ? all
      : acks === "quorum"
      ? Math.floor(all / 2) + 1
      : acks;
    const isEnough = all > 0 && acknowledged.length >= needed;
    if (isEnough === isHeld) return;
    throw new Error(
      `${what} was acknowledged by ${acknowledged.length} of ${all}, ${needed} were to, and it ${
        isHeld ? "resolved" : "rejected"
      }`,
    );
  }

  #boot(machine: VirtualMachine, parts: Parts): void {
    const { id, clock } = machine;
    const at = names(NODES).indexOf(id);
    // Where there are relays, they are needed: the nodes form a ring.
    const neighbours = names(NODES).filter((other, place) =>
      other !== id && (!parts.router.relays || (place - at) % 2 !== 0)
    );
    const node = new Node<Events>({
      ...simulatedParts(machine),
      router: parts.router.make(),
      membership: parts.membership(),
      transport: within(machine.transport, neighbours),
    });
    const lives = this.#lives.get(id) ?? [];
    const handled = new Map<string, Handled>();
    const number = lives.length + 1;
    const life = { node, machine, number, handled, isLeaving: false };
    lives.push(life);
    // Whoever is gone is no recipient, from the first moment on.
    node.onSystem("leave", () => {
      if (this.#network.clock.now() > this.#calledUntil) return;
      this.#deliver(life, "set", "all", null);
    });
    const handle = (
      name: keyof Events,
      fails: (number: number) => boolean,
    ) =>
    (number: number): Promise<void> | void => {
      const key = `${name} ${number}`;
      const one = handled.get(key) ?? { begun: 0, ended: 0, failed: 0 };
      handled.set(key, one);
      one.begun++;
      const end = (): void => {
        if (!fails(number)) one.ended++;
        else {
          one.failed++;
          throw new Error("it fails");
        }
      };
      if (number % 3 > 0) return end();
      const { promise, resolve } = Promise.withResolvers<void>();
      clock.after(number * 37 % 400, resolve);
      return promise.then(end);
    };
    node.on("set", handle("set", () => false));
    node.on("flaky", handle("flaky", (number) => (number + at) % 3 === 0));
    if (at > 0) {
      node.on("job", handle("job", (number) => (number + at) % 4 === 0), {
        group: "workers",
      });
    }
    node.listen(`virtual://${id}`);
    for (const other of neighbours) node.join(`virtual://${other}`);
  }
}
