import { type Reader, Writer } from "./_bytes.ts";
import { withLinks } from "./_context.ts";
import { Dialer } from "./_dialer.ts";
import {
  FORWARD,
  LINK,
  MAX_ITEMS,
  PART,
  PARTED,
  readIds,
  SHUFFLE,
  SHUFFLED,
  writeIds,
} from "./_gossip_packets.ts";
import { IdMap } from "./_id_map.ts";
import { readId } from "./_peer_codec.ts";
import type {
  LinkEvent,
  MemberEvent,
  NodeId,
  Peer,
  RouterContext,
} from "./types.ts";

/** Neighbours that others may add to those that a node wants. */
const SLACK = 1;
/** Members that could become neighbours. */
const PASSIVE = 30;
/** Members of whom it is known where they can be dialled. */
const MAX_MEMBERS = 16_384;
/** How far the news of a newcomer walks, and where it is taken on the way, in links. */
const ACTIVE_WALK = 6;
const PASSIVE_WALK = 3;
/** A shuffle: how far it walks, who is in it, and how often, in ms; ± 10 %. */
const SHUFFLE_WALK = 6;
const SHUFFLED_ACTIVE = 3;
const SHUFFLED_PASSIVE = 4;
const SHUFFLE_INTERVAL = 60_000;
/** How long a neighbour has to say whether it wants a link, in ms. */
const REPLY_TIMEOUT = 3000;
/** Time between two attempts to have fewer neighbours, in ms. */
const TRIM_INTERVAL = 1000;
/** How long such a link stays for those who still send by it, in ms: until others are their way. */
const PART_DELAY = 20_000;

/** What a side says of a new link: it dialled for it; it has no other; it has room. */
const DIALLED = 1;
const ALONE = 2;
const ROOM = 4;

/** What the views tell. */
export interface ViewsOwner {
  /** Hands a packet of the control lane to a linked node. */
  send(to: NodeId, packet: Uint8Array): void;
  /** There is a link to a node. */
  linked(id: NodeId): void;
  /** A node has become a neighbour. */
  up(id: NodeId): void;
  /** A node is a neighbour no more. */
  down(id: NodeId): void;
  /** A link has ended. */
  ended(id: NodeId): void;
  /** Something came that makes no sense. */
  strange(): void;
}

interface Linked {
  readonly said: number;
  state: "asking" | "active" | "parting";
  cancel: () => void;
}

/**
 * The partial views of HyParView (Leitão, Pereira and Rodrigues, 2007): a few
 * neighbours, and some members to take their place.
 *
 * - A node becomes a neighbour once both sides have told what they think of their link:
 *   one that was not dialled for more neighbours is always wanted, one that was, if both
 *   have room or one has no other.
 * - Others do not evict: who has too many neighbours parts from those with whom
 *   it has a third one in common, so that nobody is cut off.
 * - Leaves, which relay nothing, are neighbours beside the others, and do not count.
 * - Packets name nodes; where they can be dialled only the membership says, since it
 *   knows which address may be told to whom.
 */
export class Views {
  /** The neighbours. */
  readonly active = new Set<NodeId>();
  readonly passive = new Set<NodeId>();
  readonly #context: RouterContext;
  readonly #owner: ViewsOwner;
  readonly #self: NodeId;
  readonly #wanted: number;
  readonly #dialer: Dialer;
  readonly #links = new IdMap<Linked>();
  readonly #linked = new Set<NodeId>();
  /** Linked nodes that relay nothing. */
  readonly #leaves = new Set<NodeId>();
  readonly #dialled = new Set<NodeId>();
  readonly #refused = new Set<NodeId>();
  readonly #members = new IdMap<Peer>();
  /** With whom it is about to part. */
  #parting: NodeId | null = null;
  #cancelShuffle: (() => void) | null = null;
  #cancelTrim: (() => void) | null = null;
  readonly counters = { refused: 0 };

  constructor(context: RouterContext, links: number, owner: ViewsOwner) {
    this.#context = context;
    this.#owner = owner;
    this.#self = context.self.id;
    this.#wanted = links;
    const dialling = withLinks(context, {
      connect: (peer) => {
        this.#dialled.add(peer.id);
        context.links.connect(peer);
      },
    });
    const linked = this.#linked;
    const leaves = this.#leaves;
    this.#dialer = new Dialer(dialling, links, {
      get size(): number {
        return linked.size - leaves.size;
      },
      has: (id) => linked.has(id),
    });
  }

  /** The neighbours that relay. */
  #relays(): NodeId[] {
    return [...this.active].filter((id) => !this.#leaves.has(id));
  }

  /** Whether there is a link to a node. */
  isLinked(id: NodeId): boolean {
    return this.#linked.has(id);
  }

  /** Whether the membership knows a node. */
  isMember(id: NodeId): boolean {
    return this.#members.has(id);
  }

  link(event: LinkEvent): void {
    if (event.type === "up") this.#up(event.peer.id, event.isLeaf === true);
    else {
      this.#dialled.delete(event.id);
      if (event.type === "down") this.#down(event.id);
    }
    const wasRefused = event.type === "down" && this.#refused.delete(event.id);
    // Whoever had no room is not asked again at once.
    this.#dialer.link(wasRefused ? { ...event, type: "unreachable" } : event);
  }

  member(event: MemberEvent): void {
    const { id } = event.member;
    if (event.type === "leave") {
      if (!this.#members.delete(id)) return;
      if (!this.#removePassive(id)) return;
      const other = this.#pick([...this.#members.keys()]);
      if (other !== undefined) this.#addPassive(other);
      return;
    }
    const isKnown = this.#members.has(id);
    if (!isKnown && this.#members.size >= MAX_MEMBERS) return;
    this.#members.set(id, event.member);
    if (this.passive.has(id)) this.#dialer.member(event);
    else if (!isKnown && this.#isSampled()) this.#addPassive(id);
  }

  close(): void {
    this.#cancelShuffle?.();
    this.#cancelTrim?.();
    for (const { cancel } of this.#links.values()) cancel();
    this.#links.clear();
    this.#linked.clear();
    this.active.clear();
    this.passive.clear();
    this.#members.clear();
    this.#dialer.close();
  }

  // -- Links --

  #up(id: NodeId, isLeaf: boolean): void {
    this.#down(id); // it may have been replaced
    this.#refused.delete(id);
    const others = this.#links.size - this.#leaves.size;
    const said = (this.#dialled.delete(id) ? DIALLED : 0) |
      (others === 0 ? ALONE : 0) |
      (others < this.#wanted + SLACK ? ROOM : 0);
    if (isLeaf) this.#leaves.add(id);
    const cancel = this.#context.clock.after(
      REPLY_TIMEOUT,
      () => this.#refuse(id, "it did not say whether it wants a link"),
    );
    this.#links.set(id, { said, state: "asking", cancel });
    this.#linked.add(id);
    this.#owner.linked(id);
    this.#owner.send(id, new Writer().u8(LINK).u8(said).take());
    this.#cancelShuffle ??= this.#planShuffle();
  }

  #down(id: NodeId): void {
    const link = this.#links.get(id);
    if (link === undefined) return;
    link.cancel();
    this.#links.delete(id);
    this.#linked.delete(id);
    this.#deactivate(id);
    this.#owner.ended(id);
    if (!this.#leaves.delete(id)) this.#addPassive(id);
    if (this.#links.size > 0) return;
    this.#cancelShuffle?.();
    this.#cancelShuffle = null;
  }

  #deactivate(id: NodeId): void {
    if (this.#parting === id) this.#parting = null;
    if (this.active.delete(id)) this.#owner.down(id);
  }

  #refuse(id: NodeId, reason: string): void {
    this.counters.refused++;
    this.#refused.add(id);
    this.#context.links.disconnect(id, reason);
  }

  /** Takes a packet from a linked node; false: it is none of these. */
  receive(kind: number, from: NodeId, reader: Reader): boolean {
    if (kind === LINK) this.#takeLink(from, reader.u8());
    else if (kind === PART) this.#takePart(from, readIds(reader, MAX_ITEMS));
    else if (kind === PARTED) this.#takeParted(from, reader.u8() === 1);
    else if (kind === FORWARD) this.#takeForward(from, reader);
    else if (kind === SHUFFLE) this.#takeShuffle(from, reader);
    else if (kind === SHUFFLED) this.#takeShuffled(reader);
    else return false;
    return true;
  }

  #takeLink(from: NodeId, said: number): void {
    const link = this.#links.get(from);
    if (link === undefined || link.state !== "asking") {
      return this.#owner.strange();
    }
    const one = said | link.said;
    const isWanted = (one & DIALLED) === 0 || (one & ALONE) !== 0 ||
      (said & link.said & ROOM) !== 0;
    if (!isWanted) {
      if ((link.said & DIALLED) !== 0) this.#refuse(from, "one has no room");
      return;
    }
    link.cancel();
    link.state = "active";
    this.#removePassive(from);
    this.active.add(from);
    this.#owner.up(from);
    if (this.#leaves.has(from)) return;
    if ((one & DIALLED) === 0) this.#tellOf(from);
    if (this.#relays().length > this.#wanted + SLACK) {
      this.#cancelTrim ??= this.#planTrim();
    }
  }

  // -- Parting --

  #planTrim(): () => void {
    return this.#context.clock.after(TRIM_INTERVAL, () => {
      this.#cancelTrim = null;
      this.#parting = null;
      const relays = this.#relays();
      if (relays.length <= this.#wanted + SLACK) return;
      this.#cancelTrim = this.#planTrim();
      const other = this.#pick(relays);
      if (other === undefined) return;
      this.#parting = other;
      const others = this.#sample(relays, MAX_ITEMS, other);
      this.#owner.send(other, writeIds(new Writer().u8(PART), others).take());
    });
  }

  #takePart(from: NodeId, theirs: readonly NodeId[]): void {
    const relays = this.#relays();
    const isAgreed = this.active.has(from) && this.#parting === null &&
      relays.length >= this.#wanted &&
      theirs.some((id) => id !== from && relays.includes(id));
    const packet = new Writer().u8(PARTED).u8(isAgreed ? 1 : 0).take();
    this.#owner.send(from, packet);
    if (isAgreed) this.#part(from, 2 * PART_DELAY);
  }

  #takeParted(from: NodeId, isAgreed: boolean): void {
    if (this.#parting !== from) return this.#owner.strange();
    this.#parting = null;
    if (isAgreed) this.#part(from, PART_DELAY);
  }

  #part(id: NodeId, delay: number): void {
    const link = this.#links.get(id);
    if (link === undefined) return;
    link.state = "parting";
    link.cancel = this.#context.clock.after(
      delay,
      () => this.#refuse(id, "it has neighbours enough"),
    );
    this.#deactivate(id);
  }

  // -- Others --

  #tellOf(id: NodeId): void {
    for (const other of this.#sample(this.#relays(), this.#wanted, id)) {
      this.#forward(other, id, ACTIVE_WALK);
    }
  }

  #forward(to: NodeId, id: NodeId, ttl: number): void {
    this.#owner.send(to, new Writer().u8(FORWARD).u8(ttl).string(id).take());
  }

  #takeForward(from: NodeId, reader: Reader): void {
    const ttl = Math.min(reader.u8(), ACTIVE_WALK);
    const id = readId(reader);
    reader.end();
    const [next] = this.#sample(this.#relays(), 1, from, id);
    if (ttl === PASSIVE_WALK || ttl === 0 || next === undefined) {
      this.#addPassive(id);
    }
    if (ttl > 0 && next !== undefined) this.#forward(next, id, ttl - 1);
  }

  #planShuffle(): () => void {
    const delay = SHUFFLE_INTERVAL * (0.9 + 0.2 * this.#context.random());
    return this.#context.clock.after(delay, () => {
      this.#cancelShuffle = this.#planShuffle();
      this.#sendShuffle([this.#self], this.#some());
    });
  }

  /** Those that are told of in a shuffle. */
  #some(): NodeId[] {
    return [
      ...this.#sample(this.#relays(), SHUFFLED_ACTIVE),
      ...this.#sample(this.passive, SHUFFLED_PASSIVE),
    ];
  }

  #sendShuffle(path: readonly NodeId[], ids: readonly NodeId[]): boolean {
    const [next] = this.#sample(this.#relays(), 1, ...path);
    if (next === undefined) return false;
    const packet = writeIds(writeIds(new Writer().u8(SHUFFLE), path), ids);
    this.#owner.send(next, packet.take());
    return true;
  }

  #takeShuffle(from: NodeId, reader: Reader): void {
    const path = readIds(reader, SHUFFLE_WALK);
    const ids = readIds(reader, SHUFFLED_ACTIVE + SHUFFLED_PASSIVE);
    reader.end();
    const [origin] = path;
    if (path.at(-1) !== from || origin === undefined) {
      return this.#owner.strange();
    }
    const isLast = path.length === SHUFFLE_WALK;
    if (!isLast && this.#sendShuffle([...path, this.#self], ids)) return;
    this.#answer(path, this.#some());
    for (const id of [origin, ...ids]) this.#addPassive(id);
  }

  #answer(path: readonly NodeId[], ids: readonly NodeId[]): void {
    const next = path.at(-1);
    if (next === undefined || !this.active.has(next)) return;
    const rest = path.slice(0, -1);
    const packet = writeIds(writeIds(new Writer().u8(SHUFFLED), rest), ids);
    this.#owner.send(next, packet.take());
  }

  #takeShuffled(reader: Reader): void {
    const path = readIds(reader, SHUFFLE_WALK);
    const ids = readIds(reader, SHUFFLED_ACTIVE + SHUFFLED_PASSIVE);
    reader.end();
    if (path.length > 0) this.#answer(path, ids);
    else for (const id of ids) this.#addPassive(id);
  }

  // -- The passive view --

  /** Each member has the same chance to be in the passive view. */
  #isSampled(): boolean {
    return this.#context.random() * this.#members.size < PASSIVE;
  }

  #addPassive(id: NodeId): void {
    const member = this.#members.get(id);
    const isOpen = member !== undefined && member.addresses.length > 0;
    if (!isOpen || id === this.#self) return;
    if (this.active.has(id) || this.passive.has(id)) return;
    if (this.passive.size >= PASSIVE) {
      const other = this.#pick([...this.passive]);
      if (other !== undefined) this.#removePassive(other);
    }
    this.passive.add(id);
    this.#dialer.member({ type: "join", member });
  }

  #removePassive(id: NodeId): boolean {
    if (!this.passive.delete(id)) return false;
    const member = { id, incarnation: 0, addresses: [] };
    this.#dialer.member({ type: "leave", member, reason: "left" });
    return true;
  }

  // -- Chance --

  #sample(
    ids: Iterable<NodeId>,
    count: number,
    ...except: readonly NodeId[]
  ): NodeId[] {
    const left = [...ids].filter((id) => !except.includes(id));
    const chosen: NodeId[] = [];
    while (chosen.length < count && left.length > 0) {
      const at = Math.floor(this.#context.random() * left.length);
      chosen.push(...left.splice(at, 1));
    }
    return chosen;
  }

  #pick(ids: readonly NodeId[]): NodeId | undefined {
    return ids[Math.floor(this.#context.random() * ids.length)];
  }
}
