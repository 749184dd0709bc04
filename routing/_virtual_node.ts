import {
  epochOf,
  incarnationAbove,
  incarnationAt,
  nextEpoch,
  nextIncarnation,
} from "./incarnation.ts";
import type { Planned } from "./_event_heap.ts";
import { Host } from "./_virtual_host.ts";
import type {
  Delivery,
  RestartOptions,
  SelfChange,
  Undelivered,
  VirtualNode,
  VirtualNodeOptions,
} from "./_virtual_types.ts";
import { End, join } from "./_virtual_wire.ts";
import type { World } from "./_virtual_world.ts";
import type {
  Clock,
  Lane,
  LinkEvent,
  MemberEvent,
  Membership,
  MembershipContext,
  NodeId,
  Peer,
  Router,
  RouterContext,
} from "./types.ts";

/** With a membership, the first byte of a payload tells whose it is. */
const MEMBERSHIP = 0;
const PROGRAM = 1;

/** One life of a node: made at its start, of no effect after its end. */
interface Life {
  readonly router: Router;
  readonly membership: Membership | null;
}

/** A machine on which a router and a membership run, and nothing else. */
export class NodeHost extends Host implements VirtualNode {
  self: Peer;
  delivered: Delivery[] = [];
  undelivered: Undelivered[] = [];
  events: MemberEvent[] = [];
  sent = 0;
  sentBytes = 0;
  readonly #options: VirtualNodeOptions;
  readonly #links = new Map<NodeId, LinkEnd>();
  #life: Life | null = null;
  /** What its wall clock said at its last start. */
  #startedAt = -Infinity;

  constructor(world: World, id: NodeId, options: VirtualNodeOptions) {
    super(world, id, options.clock);
    this.#options = options;
    const { addresses = [`virtual://${id}`], meta } = options;
    this.self = {
      id,
      incarnation: 0,
      addresses,
      ...(meta === undefined ? {} : { meta }),
    };
    this.#publish([], addresses);
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
    this.begin();
    this.#startedAt = this.wallClock();
    this.delivered = [];
    this.undelivered = [];
    this.events = [];
    this.sent = 0;
    this.sentBytes = 0;
    const clock = this.makeClock();
    const random = this.chance();
    const router = this.#options.router(this.#routerContext(clock, random));
    const membership = this.#options.membership?.(
      this.#membershipContext(clock, random, router),
    ) ?? null;
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
    const { addresses, incarnation } = this.self;
    this.self = {
      ...this.self,
      ...change,
      incarnation: nextIncarnation(incarnation),
    };
    this.#publish(addresses, this.self.addresses);
    this.membership?.update();
  }

  leave(): void {
    if (!this.running) return;
    this.world.note(`leave ${this.id}`);
    this.membership?.leave();
    this.router.close();
    for (const end of [...this.ends]) end.close("goodbye");
    this.end();
  }

  restart(options: RestartOptions = {}): void {
    if (this.running) {
      throw new TypeError(`Cannot restart node "${this.id}": it is running`);
    }
    this.world.note(`restart ${this.id}`);
    this.start(options.incarnation ?? this.#nextIncarnation());
    this.world.release();
  }

  linkTo(id: NodeId): LinkEnd | undefined {
    return this.#links.get(id);
  }

  dial(peer: Peer): void {
    new Dial(this, peer).start();
  }

  up(link: LinkEnd, peer: Peer): void {
    this.#links.get(peer.id)?.breakOff("replaced");
    this.#links.set(peer.id, link);
    this.link({ type: "up", peer });
  }

  /** Forgets a link; false if it never came up, or another has taken its place. */
  unlink(link: LinkEnd): boolean {
    const { id } = link.other.host;
    if (this.#links.get(id) !== link) return false;
    return this.#links.delete(id);
  }

  link(event: LinkEvent): void {
    this.router.link(event);
    this.membership?.link(event);
  }

  receive(from: NodeId, packet: Uint8Array, lane: Lane): void {
    const life = this.#life;
    if (!this.running || life === null) return;
    life.membership?.heard(from);
    life.router.receive(from, packet, lane);
  }

  /** What it tells another node of itself. */
  introduce(to: NodeId): Peer {
    const { self } = this;
    const { mayTell } = this.world;
    if (mayTell === null) return self;
    const addresses = self.addresses.filter((address) =>
      mayTell(self.id, to, address)
    );
    return { ...self, addresses };
  }

  protected stopped(): void {
    this.#links.clear();
  }

  protected after(): void {
    if (this.world.invariants.length > 0) this.world.check(this);
  }

  /** That of the present time; above its last, unless its clock was set back since. */
  #nextIncarnation(): number {
    const wallClock = this.wallClock();
    const present = incarnationAt(wallClock);
    if (wallClock < this.#startedAt) return present;
    const last = this.self.incarnation;
    return epochOf(present) > epochOf(last) ? present : nextEpoch(last);
  }

  #publish(old: readonly string[], fresh: readonly string[]): void {
    const { places } = this.world;
    for (const address of old) {
      const others = (places.get(address) ?? []).filter((host) =>
        host !== this
      );
      if (others.length > 0) places.set(address, others);
      else places.delete(address);
    }
    for (const address of fresh) {
      places.set(address, [...places.get(address) ?? [], this]);
    }
  }

  #present(): Life {
    if (this.#life === null) {
      throw new TypeError(`Cannot use node "${this.id}": it never ran`);
    }
    return this.#life;
  }

  #routerContext(clock: Clock, random: () => number): RouterContext {
    const self = () => this.self;
    return {
      get self() {
        return self();
      },
      clock,
      random,
      links: {
        send: (id, packet, lane) => this.#sendPacket(id, packet, lane),
        connect: (peer) => this.dial(peer),
        disconnect: (id, reason) => this.#links.get(id)?.part(reason),
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
    const link = this.#links.get(id);
    if (link === undefined || !link.send(packet, lane)) return false;
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

  #membershipContext(
    clock: Clock,
    random: () => number,
    router: Router,
  ): MembershipContext {
    const self = () => this.self;
    return {
      get self() {
        return self();
      },
      clock,
      random,
      reaches: (id) => router.nodes.has(id),
      ...("direct" in router && { meet: (peer: Peer) => this.dial(peer) }),
      send: (to, message) =>
        router.nodes.has(to) &&
        router.send([to], tagged(MEMBERSHIP, message), "control") === 1,
      mayTell: (to, address) =>
        this.world.mayTell?.(this.id, to, address) ?? true,
      refute: (accused) => {
        const incarnation = incarnationAbove(this.self.incarnation, accused);
        this.self = { ...this.self, incarnation };
        this.membership?.update();
      },
      changed: (event) => {
        this.events.push(event);
        router.member(event);
      },
      connect: (peer) => this.dial(peer),
    };
  }
}

/** One end of the link between two nodes, of which there is one at most. */
class LinkEnd extends End {
  declare readonly host: NodeHost;
  readonly #opened: () => void;

  constructor(host: NodeHost, to: NodeHost, opened: () => void) {
    super(host, to);
    this.#opened = opened;
  }

  /** Closes it, as the node itself asked for: the answer is an event of its own. */
  part(reason: string): void {
    if (!this.open) return;
    this.close(reason);
    if (!this.host.unlink(this)) return;
    this.host.later(0, () => this.#tellDown(reason), "link down");
  }

  protected opened(): void {
    this.#opened();
  }

  protected received(packet: Uint8Array, lane: Lane): void {
    if (this.host.linkTo(this.other.host.id) !== this) return;
    this.host.receive(this.other.host.id, packet, lane);
  }

  protected credited(): void {}

  protected ended(reason: string): void {
    if (!this.host.unlink(this)) return;
    this.host.call(() => this.#tellDown(reason), "link down");
  }

  #tellDown(reason: string): void {
    this.host.link({ type: "down", id: this.other.host.id, reason });
  }
}

/** An attempt of one node to come to a link with another. */
class Dial {
  readonly #from: NodeHost;
  readonly #life: number;
  readonly #peer: Peer;
  readonly #world: World;
  #timeout: Planned | null = null;
  #end: LinkEnd | null = null;
  #isOver = false;

  constructor(from: NodeHost, peer: Peer) {
    this.#from = from;
    this.#life = from.life;
    this.#peer = peer;
    this.#world = from.world;
  }

  start(): void {
    const world = this.#world;
    const target = world.listener(this.#peer.addresses);
    const shape = world.shapeOf(this.#from.id, target?.id ?? "");
    const delay = world.transit(shape);
    this.#timeout = this.#from.later(
      world.dialTimeout,
      () => this.#fail("timed out"),
      "gives a dial up",
    );
    if (target === null) return this.#refuse(2 * delay, "connection refused");
    if (delay < world.dialTimeout) {
      world.plan(delay, () => this.#knock(target));
    }
  }

  #knock(target: Host): void {
    const world = this.#world;
    const from = this.#from;
    if (this.#isOver || world.isParted(from, target)) return;
    const delay = world.transit(world.shapeOf(target.id, from.id));
    if (!target.running || !(target instanceof NodeHost)) {
      return this.#refuse(delay, "connection refused");
    }
    if (target.id !== this.#peer.id) {
      return this.#refuse(delay, `it is node "${target.id}"`);
    }
    target.call(() => this.#accept(target), "accepts");
  }

  #accept(target: NodeHost): void {
    const from = this.#from;
    if (this.#isOver || !from.running || from.life !== this.#life) return;
    if (from === target || isLinked(from, target)) return this.#settle();
    target.linkTo(from.id)?.breakOff("replaced");
    const peer = target.introduce(from.id);
    const end = new LinkEnd(from, target, () => {
      this.#settle();
      from.up(end, peer);
    });
    const other = new LinkEnd(target, from, () => {});
    join(end, other);
    this.#end = end;
    other.accept();
    target.up(other, from.introduce(target.id));
  }

  #refuse(delay: number, reason: string): void {
    if (delay >= this.#world.dialTimeout) return;
    this.#from.later(delay, () => this.#fail(reason), "dial refused");
  }

  #fail(reason: string): void {
    if (this.#isOver) return;
    this.#settle();
    this.#end?.close("the dial was given up");
    this.#from.link({ type: "unreachable", id: this.#peer.id, reason });
  }

  #settle(): void {
    this.#isOver = true;
    if (this.#timeout !== null) this.#world.heap.remove(this.#timeout);
  }
}

/** Whether there is a link of which both ends are open, told of or not. */
function isLinked(a: NodeHost, b: NodeHost): boolean {
  for (const end of a.ends) {
    if (end.open && end.other.open && end.other.host === b) return true;
  }
  return false;
}

function tagged(tag: number, payload: Uint8Array): Uint8Array {
  const whole = new Uint8Array(payload.length + 1);
  whole[0] = tag;
  whole.set(payload, 1);
  return whole;
}
