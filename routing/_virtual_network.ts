import { type Cut, type Fault, inflict } from "./_faults.ts";
import { seededRandom, seedFor } from "./_random.ts";
import { VirtualClock } from "./_virtual_clock.ts";
import type { Host } from "./_virtual_host.ts";
import { MachineHost } from "./_virtual_machine.ts";
import { NodeHost } from "./_virtual_node.ts";
import { topologyOf } from "./_virtual_topology.ts";
import type {
  LinkShape,
  VirtualMachine,
  VirtualMachineOptions,
  VirtualNetworkOptions,
  VirtualNode,
  VirtualNodeOptions,
} from "./_virtual_types.ts";
import { type Tap, World } from "./_virtual_world.ts";
import type { Topology } from "./explain.ts";
import { incarnationAt } from "./incarnation.ts";
import type { NodeId } from "./types.ts";

export type {
  ClockSkew,
  Delivery,
  LinkShape,
  RestartOptions,
  SelfChange,
  Undelivered,
  VirtualHost,
  VirtualMachine,
  VirtualMachineOptions,
  VirtualNetworkOptions,
  VirtualNode,
  VirtualNodeOptions,
} from "./_virtual_types.ts";

/**
 * Nodes and links in virtual time, for tests of routers, memberships and whole
 * nodes: no I/O, and one seed gives one run.
 *
 * - **Links.** A link is an ordered channel in each direction. While it is open
 *   nothing is lost: what the network loses is sent again, which takes time, and what
 *   follows waits. It holds so many packets, and `links.send` is false when it is full.
 *   An end that gets nothing through for `giveUp` breaks, and what it held is lost.
 * - **Datagrams.** With `datagrams`, the control lane travels beside the link: packets
 *   are lost, doubled and out of order.
 * - **Dials.** A node is dialled by the addresses it tells. Nobody listening there:
 *   refused after a round trip. No answer, behind a cut or from a machine that is
 *   paused or has no power: unreachable after `dialTimeout`.
 * - **One link.** Between two nodes there is one link at most; of two dials the later
 *   finds the link of the earlier. The router hears of a link before the membership.
 * - **Chance.** Links, each life of a node, and `random` draw from streams of their
 *   own, all from the seed, so that one more packet of one node does not change what
 *   another draws.
 *
 * @example Three nodes in a row
 * ```ts
 * import { heartbeat } from "@devts/routing/heartbeat";
 * import { peerRouter } from "@devts/routing/peer";
 * import { VirtualNetwork } from "@devts/routing/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const network = new VirtualNetwork({ seed: 3, latency: 5 });
 * for (const id of ["ada", "bob"]) {
 *   network.add(id, { router: peerRouter(), membership: heartbeat() });
 * }
 * network.connect("ada", "bob");
 * const ms = network.clock.until(() => network.node("ada").members.has("bob"));
 *
 * assertEquals(ms, 10);
 * ```
 *
 * @example Faults by the clock, and what must hold all the time
 * ```ts
 * import { heartbeat } from "@devts/routing/heartbeat";
 * import { peerRouter } from "@devts/routing/peer";
 * import { VirtualNetwork } from "@devts/routing/testing";
 * import { assert, assertEquals } from "@std/assert";
 *
 * function run(): string {
 *   const network = new VirtualNetwork({ seed: 7, latency: 5, jitter: 20, loss: 0.1 });
 *   network.always("nobody knows itself", ({ id, members }) => assert(!members.has(id)));
 *   network.atRest("one view", ({ nodes }) => {
 *     for (const node of nodes) assertEquals(node.members.size, nodes.length - 1);
 *   });
 *   for (const id of ["ada", "bob", "cyd"]) {
 *     network.add(id, { router: peerRouter(), membership: heartbeat() });
 *     if (id !== "ada") network.connect(id, "ada");
 *   }
 *   network.play([
 *     { at: 2_000, do: "cut", from: ["ada"], to: ["bob"], how: "one-way", for: 1_500 },
 *     { at: 2_500, do: "stall", node: "cyd", for: 2_000 },
 *   ]);
 *   network.rest(30_000);
 *   return network.hash;
 * }
 *
 * assertEquals(run(), run());
 * ```
 */
export class VirtualNetwork {
  /** The time of the network. */
  readonly clock: VirtualClock = new VirtualClock();
  /** Randomness for whoever drives the network: nodes and links have their own. */
  readonly random: () => number;
  readonly #world: World;
  readonly #goals: {
    readonly name: string;
    readonly check: (network: VirtualNetwork) => void;
  }[] = [];

  /**
   * Makes a network without nodes.
   *
   * @throws {RangeError} If a chance or a time is out of its range.
   */
  constructor(options: VirtualNetworkOptions = {}) {
    this.#world = new World(this.clock, options);
    this.random = seededRandom(seedFor(this.#world.seed, "network"));
  }

  /** All nodes, running or not, in the order in which they were added. */
  get nodes(): VirtualNode[] {
    return this.#hosts().filter((host) => host instanceof NodeHost);
  }

  /** All machines, running or not, in the order in which they were added. */
  get machines(): VirtualMachine[] {
    return this.#hosts().filter((host) => host instanceof MachineHost);
  }

  /** How much happened so far: timers, packets and the like. */
  get events(): number {
    return this.#world.heap.count;
  }

  /** 16 hexadecimal digits, of everything that happened: two equal runs have the same. */
  get hash(): string {
    return this.#world.trace.hash;
  }

  /** What happened last, a line for each event; as many as `record` says. */
  get trace(): string[] {
    return this.#world.trace.lines;
  }

  /**
   * Adds a node and starts it, without any link.
   *
   * @throws {TypeError} If there is one of this name.
   */
  add(id: NodeId, options: VirtualNodeOptions): VirtualNode {
    this.#assertNew(id);
    const host = new NodeHost(this.#world, id, options);
    this.#world.hosts.set(id, host);
    host.start(incarnationAt(host.wallClock()));
    return host;
  }

  /**
   * Adds a machine for a program of any kind, such as a whole node, and starts it.
   *
   * @example Two machines that talk
   * ```ts
   * import { VirtualNetwork } from "@devts/routing/testing";
   * import { assertEquals } from "@std/assert";
   *
   * const network = new VirtualNetwork({ latency: 20 });
   * const ada = network.machine("ada");
   * const bob = network.machine("bob");
   * async function serve(): Promise<void> {
   *   for await (const connection of await ada.transport.listen("virtual://ada")) {
   *     await connection.send(new TextEncoder().encode("hello"));
   *   }
   * }
   * async function ask(): Promise<string> {
   *   const connection = await bob.transport.connect("virtual://ada");
   *   const message = await connection.receive();
   *   return new TextDecoder().decode(message ?? undefined);
   * }
   * serve();
   *
   * assertEquals(await network.clock.settle(ask()), "hello");
   * assertEquals(network.clock.now(), 40);
   * ```
   *
   * @throws {TypeError} If there is one of this name.
   */
  machine(id: NodeId, options: VirtualMachineOptions = {}): VirtualMachine {
    this.#assertNew(id);
    const host = new MachineHost(this.#world, id, options);
    this.#world.hosts.set(id, host);
    host.start();
    return host;
  }

  /**
   * The node of this name.
   *
   * @throws {TypeError} If there is none.
   */
  node(id: NodeId): VirtualNode {
    return this.#node(id);
  }

  /**
   * The nodes, machines and open links as they are now, for `topologySvg`: who does not
   * run has `failed`, whom another one doubts is `suspect`, and a link that is cut is
   * `slow`.
   */
  topology(): Topology {
    return topologyOf(this.#hosts());
  }

  // Links and cuts

  /** `from` dials `to`, as a program does with the address of an entry node. */
  connect(from: NodeId, to: NodeId): void {
    this.#world.note(`connect ${from} to ${to}`);
    this.#node(from).dial(this.#node(to).self);
  }

  /** Ends the link between two nodes; both notice. */
  disconnect(a: NodeId, b: NodeId, reason = "disconnected"): void {
    this.#world.note(`disconnect ${a} from ${b}`);
    this.#node(a).linkTo(b)?.part(reason);
  }

  /**
   * Changes how links carry: one direction of one link, or all that has not been
   * changed for itself.
   *
   * @returns What was changed, as it was before.
   * @throws {RangeError} If something is out of its range.
   */
  shape(
    change: Partial<LinkShape>,
    link?: { readonly from: NodeId; readonly to: NodeId },
  ): Partial<LinkShape> {
    const where = link === undefined ? "all" : `${link.from} to ${link.to}`;
    this.#world.note(`shape ${where}: ${JSON.stringify(change)}`);
    return this.#world.reshape(change, link);
  }

  /**
   * Parts two nodes until `heal`. `silence`: their link stays open and holds what
   * is sent, dials get no answer. `links`: their link ends too. `one-way`: as
   * `silence`, but only for what `a` sends to `b`.
   */
  cut(a: NodeId, b: NodeId, how: Cut = "silence"): void {
    this.#world.note(`cut ${a} from ${b}, ${how}`);
    const one = this.#world.host(a);
    const other = this.#world.host(b);
    if (how === "links") {
      for (const end of [...one.ends]) {
        if (end.other.host === other) end.snap("connection reset");
      }
    }
    this.#world.cut(one, other);
    if (how !== "one-way") this.#world.cut(other, one);
  }

  /** Ends the cut between two nodes; what their link holds arrives when it is tried again. */
  heal(a: NodeId, b: NodeId): void {
    this.#world.note(`heal ${a} and ${b}`);
    const one = this.#world.host(a);
    const other = this.#world.host(b);
    this.#world.heal(one, other);
    this.#world.heal(other, one);
  }

  /** Parts every node of one group from every node of the other. */
  partition(
    one: readonly NodeId[],
    other: readonly NodeId[],
    how: Cut = "silence",
  ): void {
    for (const a of one) for (const b of other) this.cut(a, b, how);
  }

  /** Ends all cuts. */
  healAll(): void {
    this.#world.note("heal all");
    this.#world.healAll();
  }

  // Faults

  /**
   * Plans faults, each so many ms from now. What is impossible when its time comes is
   * left out.
   */
  play(faults: readonly Fault[]): void {
    for (const fault of faults) {
      this.#world.plan(fault.at, () => this.#inflict(fault));
    }
  }

  // What must hold

  /**
   * What must hold for a node after each of its events. What `check` throws leaves the
   * call in which time passed, as an {@linkcode InvariantError}.
   */
  always(name: string, check: (node: VirtualNode) => void): void {
    this.#world.invariants.push({ name, check });
  }

  /** What must hold for the network at rest: see {@linkcode VirtualNetwork.rest}. */
  atRest(name: string, check: (network: VirtualNetwork) => void): void {
    this.#goals.push({ name, check });
  }

  /**
   * Lets `ms` milliseconds pass, after which the network should be at rest.
   *
   * @throws {InvariantError} If what must hold at rest does not.
   */
  rest(ms: number): void {
    this.clock.tick(ms);
    for (const { name, check } of this.#goals) {
      this.#world.assert(name, null, () => check(this));
    }
  }

  /** Calls back with each packet that is handed to a link, and each message to a connection. */
  tap(tap: Tap): void {
    this.#world.taps.push(tap);
  }

  #inflict(fault: Fault): void {
    const end = inflict({
      host: (id) => this.#world.host(id),
      leave: (id) => this.#node(id).leave(),
      connect: (from, to) => this.connect(from, to),
      disconnect: (a, b) => this.disconnect(a, b),
      partition: (one, other, how) => this.partition(one, other, how),
      join: (one, other) => {
        for (const a of one) for (const b of other) this.heal(a, b);
      },
      healAll: () => this.healAll(),
      shape: (change, link) => this.shape(change, link),
    }, fault);
    if (fault.for !== undefined) this.#world.plan(fault.for, end);
  }

  #hosts(): Host[] {
    return [...this.#world.hosts.values()];
  }

  #node(id: NodeId): NodeHost {
    const host = this.#world.host(id);
    if (host instanceof NodeHost) return host;
    throw new TypeError(`Cannot use "${id}" as a node: it is a machine`);
  }

  #assertNew(id: NodeId): void {
    if (!this.#world.hosts.has(id)) return;
    throw new TypeError(`Cannot add node "${id}": it exists`);
  }
}
