import {
  incarnationAbove,
  incarnationAt,
  nextEpoch,
  nextIncarnation,
} from "./incarnation.ts";
import { seededRandom } from "./_random.ts";
import { VirtualClock } from "./_virtual_clock.ts";
import type {
  Clock,
  Lane,
  LinkEvent,
  MemberEvent,
  Membership,
  MembershipContext,
  MembershipFactory,
  NodeId,
  Peer,
  Router,
  RouterContext,
  RouterFactory,
} from "./types.ts";

/** The wall-clock time at which every network begins. */
const BEGINNING = Date.UTC(2026, 0, 1);
/** With a membership, the first byte of a payload tells whose it is. */
const MEMBERSHIP = 0;
const PROGRAM = 1;

/** Options of {@linkcode VirtualNetwork}. */
export interface VirtualNetworkOptions {
  /**
   * Where all randomness starts.
   *
   * @default {1}
   */
  readonly seed?: number;
  /**
   * Milliseconds that a packet travels.
   *
   * @default {1}
   */
  readonly latency?: number;
  /**
   * The most milliseconds that a packet may take longer, chosen at random; the
   * order within a link stays.
   *
   * @default {0}
   */
  readonly jitter?: number;
  /**
   * Packets that one direction of a link holds, on the way or waiting.
   *
   * @default {1024}
   */
  readonly outbox?: number;
  /**
   * Milliseconds until a dial that nobody answers is given up.
   *
   * @default {1000}
   */
  readonly dialTimeout?: number;
  /**
   * The membership's {@linkcode MembershipContext.mayTell}.
   *
   * @default {everything may be told}
   */
  readonly mayTell?: (from: NodeId, to: NodeId, address: string) => boolean;
}

/** Options of {@linkcode VirtualNetwork.add}. */
export interface VirtualNodeOptions {
  /** Makes its router. */
  readonly router: RouterFactory;
  /** Makes its membership; none: the router hears of links only. */
  readonly membership?: MembershipFactory;
  /**
   * Where it can be dialled; empty: nowhere.
   *
   * @default {[`virtual://${id}`]}
   */
  readonly addresses?: readonly string[];
  /** Its metadata. */
  readonly meta?: Uint8Array;
}

/** What {@linkcode VirtualNode.restart} may change. */
export interface RestartOptions {
  /**
   * The incarnation of its next life.
   *
   * @default {that of the present time}
   */
  readonly incarnation?: number;
}

/** A payload that arrived. */
export interface Delivery {
  /** Who sent it, as the router says. */
  readonly from: NodeId;
  /** What arrived. */
  readonly payload: Uint8Array;
}

/** A payload that could not be carried further. */
export interface Undelivered {
  /** For whom it was. */
  readonly to: NodeId;
  /** How it began. */
  readonly head: Uint8Array;
  /** The node that had it last. */
  readonly lastHop: NodeId;
  /** Why. */
  readonly reason: string;
}

/** What a node may change of itself while it runs. */
export interface SelfChange {
  /** Where it can be dialled from here on. */
  readonly addresses?: readonly string[];
  /** Its metadata from here on. */
  readonly meta?: Uint8Array;
}

/** A node of a {@linkcode VirtualNetwork}. Its records begin anew with each life. */
export interface VirtualNode {
  /** Its name. */
  readonly id: NodeId;
  /** What it says of itself at present. */
  readonly self: Peer;
  /** Whether it runs: neither crashed nor left. */
  readonly running: boolean;
  /** Its router. */
  readonly router: Router;
  /** Its membership, where it was given one. */
  readonly membership: Membership | null;
  /** The members it knows; empty without a membership. */
  readonly members: ReadonlyMap<NodeId, Peer>;
  /** The nodes at the other end of its open links. */
  readonly neighbours: readonly NodeId[];
  /** Payloads that arrived for its program, in order. */
  readonly delivered: readonly Delivery[];
  /** Payloads that came back. */
  readonly undelivered: readonly Undelivered[];
  /** What its membership told. */
  readonly events: readonly MemberEvent[];
  /** Timers of its router and membership that are pending. */
  readonly timers: number;
  /** Packets that it handed to its links. */
  readonly sent: number;
  /** Bytes of these. */
  readonly sentBytes: number;
  /**
   * Sends a payload of its program by its router; returns what the router returns.
   *
   * @throws {NodeNotFoundError} As the router does.
   */
  send(to: readonly NodeId[] | "all", payload: Uint8Array, lane?: Lane): number;
  /** Changes what it says of itself, under the next incarnation. */
  update(change: SelfChange): void;
  /** Says goodbye and stops; its links end once what they hold has arrived. */
  leave(): void;
  /**
   * Ends its program without a word. `links`: its links end, as when a process is
   * killed. `silence`: they stay half open, as when the machine loses its power.
   */
  crash(how?: "links" | "silence"): void;
  /** Starts it again after it crashed or left, with nothing of its past but its id. */
  restart(options?: RestartOptions): void;
  /** Stops its program from running, timers included, until `resume`. */
  pause(): void;
  /** Lets it run again: all that came due meanwhile happens at once. */
  resume(): void;
}

/**
 * Nodes and links in virtual time, for tests of routers and memberships: no I/O,
 * and one seed gives one run.
 *
 * - A link is an ordered channel in each direction. While it is open nothing is
 *   lost; it holds so many packets, and `links.send` is false when it is full.
 * - A node is dialled by the addresses it tells. Nobody listening there: refused
 *   after a round trip. No answer, behind a cut or a silent crash: unreachable
 *   after `dialTimeout`.
 * - Between two nodes there is one link at most; of two dials the later finds the
 *   link of the earlier.
 * - The router hears of a link before the membership.
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
 */
export class VirtualNetwork {
  /** The time of all its nodes. */
  readonly clock: VirtualClock = new VirtualClock();
  /** The randomness of all its nodes. */
  readonly random: () => number;
  readonly #world: World;

  /** Makes a network without nodes. */
  constructor(options: VirtualNetworkOptions = {}) {
    this.random = seededRandom(options.seed ?? 1);
    this.#world = new World(this.clock, this.random, options);
  }

  /** All nodes, running or not, in the order in which they were added. */
  get nodes(): VirtualNode[] {
    return [...this.#world.hosts.values()];
  }

  /**
   * Adds a node and starts it, without any link.
   *
   * @throws {TypeError} If there is one of this name.
   */
  add(id: NodeId, options: VirtualNodeOptions): VirtualNode {
    if (this.#world.hosts.has(id)) {
      throw new TypeError(`Cannot add node "${id}": it exists`);
    }
    const host = new Host(this.#world, id, options);
    this.#world.hosts.set(id, host);
    host.start(incarnationAt(this.#world.wallClock()));
    return host;
  }

  /**
   * The node of this name.
   *
   * @throws {TypeError} If there is none.
   */
  node(id: NodeId): VirtualNode {
    return this.#world.host(id);
  }

  /** `from` dials `to`, as a program does with the address of an entry node. */
  connect(from: NodeId, to: NodeId): void {
    const target = this.#world.host(to);
    this.#world.dial(this.#world.host(from), target.self);
  }

  /** Ends the link between two nodes; both notice. */
  disconnect(a: NodeId, b: NodeId, reason = "disconnected"): void {
    const host = this.#world.host(a);
    host.linkTo(b)?.close(host, reason);
  }

  /**
   * Parts two nodes until `heal`. `silence`: their link stays open and holds what
   * is sent, dials get no answer. `links`: their link ends too.
   */
  cut(a: NodeId, b: NodeId, how: "links" | "silence" = "silence"): void {
    if (how === "links") {
      this.#world.host(a).linkTo(b)?.breakOff("connection reset");
    }
    this.#world.cuts.add(pairOf(a, b));
  }

  /** Ends the cut between two nodes; what their link holds arrives. */
  heal(a: NodeId, b: NodeId): void {
    this.#world.cuts.delete(pairOf(a, b));
    this.#world.flush();
  }

  /** Parts every node of one group from every node of the other. */
  partition(
    one: readonly NodeId[],
    other: readonly NodeId[],
    how: "links" | "silence" = "silence",
  ): void {
    for (const a of one) for (const b of other) this.cut(a, b, how);
  }

  /** Ends all cuts. */
  healAll(): void {
    this.#world.cuts.clear();
    this.#world.flush();
  }
}

/** What hosts and links share. */
class World {
  readonly hosts = new Map<NodeId, Host>();
  readonly cuts = new Set<string>();
  readonly links = new Set<Link>();
  /** By pair of nodes the link of which both ends are open, told of or not. */
  readonly whole = new Map<string, Link>();
  readonly clock: VirtualClock;
  readonly random: () => number;
  readonly outbox: number;
  readonly mayTell: (from: NodeId, to: NodeId, address: string) => boolean;
  readonly #latency: number;
  readonly #jitter: number;
  readonly #dialTimeout: number;

  constructor(
    clock: VirtualClock,
    random: () => number,
    options: VirtualNetworkOptions,
  ) {
    this.clock = clock;
    this.random = random;
    this.outbox = options.outbox ?? 1024;
    this.mayTell = options.mayTell ?? (() => true);
    this.#latency = options.latency ?? 1;
    this.#jitter = options.jitter ?? 0;
    this.#dialTimeout = options.dialTimeout ?? 1000;
  }

  wallClock(): number {
    return BEGINNING + this.clock.now();
  }

  host(id: NodeId): Host {
    const host = this.hosts.get(id);
    if (host === undefined) {
      throw new TypeError(`Cannot find node "${id}" in the network`);
    }
    return host;
  }

  delay(): number {
    return this.#latency + this.#jitter * this.random();
  }

  /** Whether nothing passes between two nodes at present. */
  isParted(a: Host, b: Host): boolean {
    return a.isSilent || b.isSilent || this.cuts.has(pairOf(a.id, b.id));
  }

  flush(): void {
    for (const link of this.links) link.flush();
  }

  dial(from: Host, peer: Peer): void {
    const fail = (delay: number, reason: string) => {
      const event: LinkEvent = { type: "unreachable", id: peer.id, reason };
      this.clock.after(delay, from.turn(() => from.link(event)));
    };
    const target = this.#listener(peer.addresses);
    const delay = this.delay();
    if (target === null) return fail(2 * delay, "connection refused");
    this.clock.after(delay, () => {
      if (this.isParted(from, target)) {
        return fail(this.#dialTimeout - delay, "timed out");
      }
      if (!target.running) return fail(delay, "connection refused");
      if (target.id !== peer.id) {
        return fail(delay, `it is node "${target.id}"`);
      }
      if (from.running) target.turn(() => this.#accept(from, target))();
    });
  }

  #listener(addresses: readonly string[]): Host | null {
    const named = [...this.hosts.values()].filter((host) =>
      host.self.addresses.some((address) => addresses.includes(address))
    );
    return named.find((host) => host.running) ?? named[0] ?? null;
  }

  #accept(from: Host, target: Host): void {
    if (
      this.whole.has(pairOf(from.id, target.id)) || from === target ||
      !from.running
    ) return;
    target.linkTo(from.id)?.end(target, "replaced");
    new Link(this, from, target).open();
  }
}

/** One direction of a link. */
interface Pipe {
  readonly from: Host;
  readonly to: Host;
  /** Packets on the way or held. */
  count: number;
  /** When the last arrives. */
  arrival: number;
  /** What waits for a cut to heal. */
  held: (() => void)[];
}

class Link {
  readonly #world: World;
  readonly #dialer: Host;
  readonly #acceptor: Host;
  readonly #out: Pipe;
  readonly #back: Pipe;
  /** The nodes whose end is open. */
  readonly #open = new Set<Host>();

  constructor(world: World, dialer: Host, acceptor: Host) {
    this.#world = world;
    this.#dialer = dialer;
    this.#acceptor = acceptor;
    this.#out = { from: dialer, to: acceptor, count: 0, arrival: 0, held: [] };
    this.#back = { from: acceptor, to: dialer, count: 0, arrival: 0, held: [] };
    this.#open.add(dialer).add(acceptor);
  }

  isOpen(host: Host): boolean {
    return this.#open.has(host);
  }

  other(host: Host): Host {
    return host === this.#dialer ? this.#acceptor : this.#dialer;
  }

  open(): void {
    this.#world.links.add(this);
    this.#world.whole.set(this.#pair(), this);
    const acceptor = this.#introduce(this.#acceptor, this.#dialer);
    this.#carry(this.#back, () => {
      if (this.isOpen(this.#dialer)) this.#dialer.up(this, acceptor);
    });
    this.#acceptor.up(this, this.#introduce(this.#dialer, this.#acceptor));
  }

  #introduce({ self }: Host, to: Host): Peer {
    const addresses = self.addresses.filter((address) =>
      this.#world.mayTell(self.id, to.id, address)
    );
    return { ...self, addresses };
  }

  send(from: Host, packet: Uint8Array, lane: Lane): boolean {
    const pipe = this.#pipe(from);
    if (!this.isOpen(from) || pipe.count >= this.#world.outbox) return false;
    pipe.count++;
    this.#carry(pipe, () => {
      pipe.count--;
      if (this.isOpen(pipe.to)) pipe.to.receive(from.id, packet, lane);
      else {this.#carry(this.#pipe(pipe.to), () =>
          this.end(from, "connection reset"));}
    });
    return true;
  }

  /** Ends this node's end; the other hears of it behind what was sent before. */
  close(host: Host, reason: string): void {
    if (!this.isOpen(host)) return;
    const other = this.other(host);
    this.#carry(this.#pipe(host), () => this.end(other, reason));
    // Its router asked for it: the answer is an event of its own.
    const answer = host.turn(() => host.link(this.#downAt(host, reason)));
    if (this.#forget(host)) this.#world.clock.soon(answer);
  }

  /** Both ends notice that the link is gone. */
  breakOff(reason: string): void {
    this.end(this.#dialer, reason);
    this.end(this.#acceptor, reason);
  }

  /** One end notices that the link is gone; the other does not hear of it. */
  end(host: Host, reason: string): void {
    if (this.#forget(host)) {
      host.turn(() => host.link(this.#downAt(host, reason)))();
    }
  }

  #downAt(host: Host, reason: string): LinkEvent {
    return { type: "down", id: this.other(host).id, reason };
  }

  /** Closes an end; true if that node had been told that the link is up. */
  #forget(host: Host): boolean {
    this.abandon(host);
    return host.unlink(this);
  }

  abandon(host: Host): void {
    this.#open.delete(host);
    if (this.#world.whole.get(this.#pair()) === this) {
      this.#world.whole.delete(this.#pair());
    }
    if (this.#open.size === 0) this.#world.links.delete(this);
  }

  flush(): void {
    this.#flush(this.#out);
    this.#flush(this.#back);
  }

  #flush(pipe: Pipe): void {
    const { held } = pipe;
    pipe.held = [];
    for (const step of held) this.#arrive(pipe, step);
  }

  #pair(): string {
    return pairOf(this.#dialer.id, this.#acceptor.id);
  }

  #pipe(from: Host): Pipe {
    return from === this.#dialer ? this.#out : this.#back;
  }

  #carry(pipe: Pipe, step: () => void): void {
    const now = this.#world.clock.now();
    pipe.arrival = Math.max(pipe.arrival, now + this.#world.delay());
    this.#world.clock.after(pipe.arrival - now, () => this.#arrive(pipe, step));
  }

  #arrive(pipe: Pipe, step: () => void): void {
    const isHeld = pipe.held.length > 0 ||
      this.#world.isParted(pipe.from, pipe.to);
    if (isHeld) pipe.held.push(step);
    else pipe.to.whenAwake(step);
  }
}

/** One life of a node: made at its start, of no effect after its end. */
interface Life {
  readonly router: Router;
  readonly membership: Membership | null;
}

class Host implements VirtualNode {
  readonly id: NodeId;
  self: Peer;
  running = false;
  isSilent = false;
  delivered: Delivery[] = [];
  undelivered: Undelivered[] = [];
  events: MemberEvent[] = [];
  timers = 0;
  sent = 0;
  sentBytes = 0;
  readonly #world: World;
  readonly #options: VirtualNodeOptions;
  readonly #links = new Map<NodeId, Link>();
  /** Counts its lives, so that what belongs to an earlier one has no effect. */
  #lives = 0;
  #life: Life | null = null;
  /** What came due while it is paused. */
  #backlog: (() => void)[] | null = null;

  constructor(world: World, id: NodeId, options: VirtualNodeOptions) {
    this.#world = world;
    this.#options = options;
    this.id = id;
    const { addresses = [`virtual://${id}`], meta } = options;
    this.self = {
      id,
      incarnation: 0,
      addresses,
      ...(meta === undefined ? {} : { meta }),
    };
  }

  get router(): Router {
    return this.#present().router;
  }

  get membership(): Membership | null {
    return this.#present().membership;
  }

  get members(): ReadonlyMap<NodeId, Peer> {
    return this.membership?.members ?? new Map();
  }

  get neighbours(): NodeId[] {
    return [...this.#links.keys()];
  }

  start(incarnation: number): void {
    this.self = { ...this.self, incarnation };
    this.running = true;
    this.isSilent = false;
    this.delivered = [];
    this.undelivered = [];
    this.events = [];
    this.timers = 0;
    this.sent = 0;
    this.sentBytes = 0;
    this.#lives++;
    const clock = this.#clock();
    const router = this.#options.router(this.#routerContext(clock));
    const membership =
      this.#options.membership?.(this.#membershipContext(clock, router)) ??
        null;
    this.#life = { router, membership };
  }

  send(
    to: readonly NodeId[] | "all",
    payload: Uint8Array,
    lane?: Lane,
  ): number {
    const whole = this.membership === null ? payload : tagged(PROGRAM, payload);
    return this.router.send(to, whole, lane);
  }

  update(change: SelfChange): void {
    this.self = {
      ...this.self,
      ...change,
      incarnation: nextIncarnation(this.self.incarnation),
    };
    this.membership?.update();
  }

  leave(): void {
    if (!this.running) return;
    this.membership?.leave();
    this.router.close();
    for (const link of [...this.#links.values()]) link.close(this, "goodbye");
    this.#end();
  }

  crash(how: "links" | "silence" = "links"): void {
    if (!this.running) return;
    const links = [...this.#links.values()];
    this.isSilent = how === "silence";
    for (const link of links) {
      if (this.isSilent) link.abandon(this);
      else link.close(this, "connection reset");
    }
    this.#end();
  }

  restart(options: RestartOptions = {}): void {
    if (this.running) {
      throw new TypeError(`Cannot restart node "${this.id}": it is running`);
    }
    const earliest = Math.max(
      incarnationAt(this.#world.wallClock()),
      nextEpoch(this.self.incarnation),
    );
    this.start(options.incarnation ?? earliest);
    this.#world.flush();
  }

  pause(): void {
    this.#backlog ??= [];
  }

  resume(): void {
    const backlog = this.#backlog ?? [];
    this.#backlog = null;
    for (const step of backlog) step();
  }

  /** Wraps what belongs to this life: it waits while the node is paused, and dies with it. */
  turn(step: () => void): () => void {
    const life = this.#lives;
    return () =>
      this.whenAwake(() => {
        if (this.running && this.#lives === life) step();
      });
  }

  whenAwake(step: () => void): void {
    if (this.#backlog === null) step();
    else this.#backlog.push(step);
  }

  linkTo(id: NodeId): Link | undefined {
    return this.#links.get(id);
  }

  up(link: Link, peer: Peer): void {
    this.#links.get(peer.id)?.end(this, "replaced");
    this.#links.set(peer.id, link);
    this.link({ type: "up", peer });
  }

  /** Forgets a link; false if it never came up, or another has taken its place. */
  unlink(link: Link): boolean {
    const { id } = link.other(this);
    if (this.#links.get(id) !== link) return false;
    return this.#links.delete(id);
  }

  link(event: LinkEvent): void {
    this.router.link(event);
    this.membership?.link(event);
  }

  receive(from: NodeId, packet: Uint8Array, lane: Lane): void {
    if (!this.running) return;
    this.membership?.heard(from);
    this.router.receive(from, packet, lane);
  }

  #present(): Life {
    if (this.#life === null) {
      throw new TypeError(`Cannot use node "${this.id}": it never ran`);
    }
    return this.#life;
  }

  #end(): void {
    this.running = false;
    this.#backlog = null;
    this.#links.clear();
  }

  /** The common clock, as far as this life of the node is awake to hear it. */
  #clock(): Clock {
    const { clock } = this.#world;
    return {
      now: () => clock.now(),
      after: (delay, callback) => {
        let isPending = true;
        const settle = () => {
          if (isPending) this.timers--;
          isPending = false;
        };
        this.timers++;
        const cancel = clock.after(
          delay,
          this.turn(() => {
            if (!isPending) return;
            settle();
            callback();
          }),
        );
        return () => {
          settle();
          cancel();
        };
      },
      soon: (callback) => clock.soon(this.turn(callback)),
    };
  }

  #routerContext(clock: Clock): RouterContext {
    const self = () => this.self;
    return {
      get self() {
        return self();
      },
      clock,
      random: this.#world.random,
      links: {
        send: (id, packet, lane) => this.#sendPacket(id, packet, lane),
        connect: (peer) => this.#world.dial(this, peer),
        disconnect: (id, reason) => this.#links.get(id)?.close(this, reason),
      },
      up: {
        deliver: (from, payload) => this.#deliver(from, payload),
        undelivered: (to, head, lastHop, reason) => {
          this.undelivered.push({ to, head, lastHop, reason });
        },
      },
    };
  }

  #sendPacket(id: NodeId, packet: Uint8Array, lane: Lane): boolean {
    if (!(this.#links.get(id)?.send(this, packet, lane) ?? false)) return false;
    this.sent++;
    this.sentBytes += packet.length;
    return true;
  }

  #deliver(from: NodeId, payload: Uint8Array): void {
    const { membership } = this.#present();
    if (membership === null) {
      this.delivered.push({ from, payload });
      return;
    }
    membership.heard(from);
    const content = payload.subarray(1);
    if (payload[0] === MEMBERSHIP) membership.receive(from, content);
    else if (payload[0] === PROGRAM) {
      this.delivered.push({ from, payload: content });
    }
  }

  #membershipContext(clock: Clock, router: Router): MembershipContext {
    const self = () => this.self;
    return {
      get self() {
        return self();
      },
      clock,
      random: this.#world.random,
      send: (to, message) =>
        router.nodes.has(to) &&
        router.send([to], tagged(MEMBERSHIP, message), "control") === 1,
      mayTell: (to, address) => this.#world.mayTell(this.id, to, address),
      refute: (accused) => {
        const incarnation = incarnationAbove(this.self.incarnation, accused);
        this.self = { ...this.self, incarnation };
        this.membership?.update();
      },
      changed: (event) => {
        this.events.push(event);
        router.member(event);
      },
    };
  }
}

function tagged(tag: number, payload: Uint8Array): Uint8Array {
  const whole = new Uint8Array(payload.length + 1);
  whole[0] = tag;
  whole.set(payload, 1);
  return whole;
}

function pairOf(a: NodeId, b: NodeId): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}
