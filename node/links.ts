import type { Address, Connection, Transport } from "@devts/transport";
import type {
  Introduced,
  IntroduceOptions,
  Introduction,
  Protocol,
  Proven,
  Refusal,
} from "@devts/protocol";
import type { Clock, NodeId, Peer } from "@devts/routing";
import { Fifo } from "./_fifo.ts";
import { placeOf, reachOfRemote } from "./address.ts";
import { DialPace } from "./dial_pace.ts";
import { isViolation, reasonOf } from "./errors.ts";
import { Found } from "./found.ts";
import { Gate } from "./gate.ts";
import { Handshakes } from "./handshakes.ts";
import type { MetLimits, NodeLimits } from "./limits.ts";
import { Link, type LinkOwner } from "./link.ts";
import { dialFault, isEncrypted, type Safety } from "./security.ts";
import type { SlowLink } from "./types.ts";

/** A second connection of a peer within so many ms is the other half of a simultaneous dial. */
const SIMULTANEOUS = 5_000;
/** How long a dial may take before the handshake starts, in ms. */
const DIAL_TIMEOUT = 10_000;
// A peer that answered "not now" is dialled again after about this long, in ms.
const RETRY_DELAY = 500;
const RETRIES = 10;
/** Addresses of one node that are dialled. */
const MAX_ADDRESSES = 4;
/** How long a node whose id comes again has to say that it is there, in ms. */
const PROBE_TIMEOUT = 500;
/** One in so many links is kept for members and for nodes that this one dials. */
const KEPT_PART = 4;
/** So many refused connections may close in order at a time. */
const MAX_REFUSED = 256;
/** A link that breaks within so many ms may break again and again. */
const SHORT_LIVED = 1_000;
/** How often links are looked at for messages that do not get on, in ms. */
const LOOK = 1_000;

/** What the links ask of the node, and tell it. */
export interface LinksOwner extends LinkOwner {
  /** What this node says of itself to the other end of a connection. */
  introduce(remote: Address): Introduction;
  /** The incarnation under which the membership knows a node. */
  knownIncarnation(id: NodeId): number | undefined;
  /** Whether two incarnations of a node are of one start. */
  isOneStart(one: number, other: number): boolean;
  /** Whether guests can be held to their rights here. */
  takesGuests(): boolean;
  /** A later incarnation of this node is known elsewhere: continue above it. */
  outrank(known: number): void;
  /** A link came up. */
  up(link: Link): void;
  /** A node that was to be dialled could not be reached. */
  unreachable(id: NodeId, reason: string): void;
  /** Another program has the id of a node, or of this one. */
  conflict(conflict: Conflict): void;
  /** A connection ended in the handshake. */
  rejected(rejection: Rejection): void;
  /** An address or a node was banned, for so many ms. */
  banned(who: string, time: number): void;
}

/** Two programs share an id. */
export interface Conflict {
  /** The id. */
  readonly id: NodeId;
  /** The other end of the connection that was refused for it. */
  readonly address: Address;
}

/** A connection that did not become a link. */
export interface Rejection {
  readonly address: Address;
  /** Whether this node opened it. */
  readonly dialed: boolean;
  readonly reason: string;
  /** Whether this is how it should be: another connection won. */
  readonly expected: boolean;
}

/** How a dial ended. */
export type DialResult =
  /** There is a link to that node, by this dial or by another. */
  | { readonly type: "linked"; readonly id: NodeId }
  /** It is this node itself. */
  | { readonly type: "self" }
  /** It answered, and one of the two refused. */
  | {
    readonly type: "refused";
    readonly refusal: Refusal;
    readonly by: "us" | "them";
  }
  /** No answer, or none that makes sense. */
  | { readonly type: "failed"; readonly error: unknown };

/** A dial under way. */
interface Dial {
  /** Known from the second message of the handshake on. */
  peerId: NodeId | null;
  /** This node means to have a link by it. */
  admitted: boolean;
  /** Who answered, and is to be dialled again by its name. */
  named: NodeId | null;
  /** Who was refused here, as another program has its id. */
  contested: NodeId | null;
  readonly done: PromiseWithResolvers<void>;
}

/** A link that has been promised to the other end and is about to exist. */
interface Promised {
  readonly peer: { readonly incarnation: number };
  readonly since: number;
  readonly place: string;
}

/** What the links are made with. */
export interface LinksOptions {
  readonly id: NodeId;
  readonly transport: Transport;
  readonly protocol: Protocol;
  readonly clock: Clock;
  readonly random: () => number;
  readonly wrap: (
    connection: Connection,
    peer: { readonly id: string },
  ) => Connection;
  readonly limits: Required<NodeLimits>;
  readonly met: MetLimits;
  readonly slowLink: SlowLink;
  readonly safety: Safety;
}

/**
 * The links of a node, one per peer.
 *
 * Where two nodes dial each other at the same time, the dial of the smaller id
 * wins, and it is decided in the handshake, before any data:
 *
 * - A dial counts from the moment it has heard the other's id.
 * - The acceptor with the smaller id, while its own dial to the same peer counts,
 *   holds its last message back until that dial has ended; then it refuses if there
 *   is a link, and accepts if there is none. The acceptor with the larger id
 *   accepts at once.
 * - A dialer that hears the id of a peer it is linked to, or has promised a link,
 *   gives up.
 *
 * So no side ever promises two links, and only one of the two ever waits.
 *
 * Where a node comes that there is a link to, that link is asked for a sign of life: a
 * program that was restarted has left it half open, and one that was copied, or has taken
 * the id of another, has not. Who was there first stays.
 */
export class Links {
  readonly #owner: LinksOwner;
  readonly #options: LinksOptions;
  readonly #links = new Map<NodeId, Link>();
  readonly #promised = new Map<NodeId, Promised>();
  readonly #dials = new Set<Dial>();
  readonly #wanted = new Set<NodeId>();
  readonly #gate: Gate;
  readonly #handshakes: Handshakes;
  readonly #pace: DialPace;
  readonly #found: Found;
  /** Bytes queued for all links. */
  readonly #queued = { bytes: 0 };
  readonly #waits = new Set<() => void>();
  /** Connections that close in order, so that a refusal arrives. */
  readonly #refused = new Set<Connection>();
  readonly #dialing = new Set<AbortController>();
  readonly #turns = new Fifo<() => void>();
  #connecting = 0;
  #cancelLook: (() => void) | null = null;
  #closed = false;

  constructor(owner: LinksOwner, options: LinksOptions) {
    this.#owner = owner;
    this.#options = options;
    this.#gate = new Gate({
      ...options,
      banned: (place, time) => owner.banned(place, time),
    });
    this.#handshakes = new Handshakes({
      ...options,
      fault: ({ remote }) => this.#gate.fault(remote),
    });
    this.#pace = new DialPace(options);
    this.#found = new Found({
      remote: (id) => this.#links.get(id)?.connection.remote ?? null,
      answers: (address, id) => this.#answersAt(address, id),
      dialable: (addresses) => this.#dialable(addresses),
    });
  }

  /** The link to a node. */
  get(id: NodeId): Link | undefined {
    return this.#links.get(id);
  }

  /** All links. */
  values(): Iterable<Link> {
    return this.#links.values();
  }

  /** Introduces itself to whoever connected. */
  async accept(connection: Connection): Promise<void> {
    if (this.#closed) return close(connection, "this node is closing");
    const pass = this.#gate.enter(
      connection.remote,
      () => close(connection, "another connection needs its place"),
    );
    if (typeof pass === "string") {
      this.#reject(connection, pass);
      return close(connection, pass);
    }
    try {
      await this.#acceptOne(connection);
    } finally {
      pass.leave();
    }
  }

  /** Dials an address; `expect` is the node that should answer. Never rejects. */
  async dial(address: Address, expect?: NodeId): Promise<DialResult> {
    const dial: Dial = {
      peerId: null,
      admitted: false,
      named: null,
      contested: null,
      done: Promise.withResolvers<void>(),
    };
    this.#dials.add(dial);
    try {
      const result = await this.#dialOnce(dial, address, expect);
      const { named } = dial;
      if (named !== null) return await this.#dialOnce(dial, address, named);
      if (result.type !== "refused" || !isOutdated(result)) return result;
      this.#owner.outrank(result.refusal.incarnation ?? 0);
      dial.peerId = null;
      return await this.#dialOnce(dial, address, expect);
    } catch (error) {
      return { type: "failed", error };
    } finally {
      this.#dials.delete(dial);
      dial.done.resolve();
    }
  }

  /** Dials a node until there is a link, or none of its addresses answers. */
  async connect(peer: Peer): Promise<void> {
    if (this.#closed || this.#links.has(peer.id) || this.#wanted.has(peer.id)) {
      return;
    }
    this.#wanted.add(peer.id);
    let reason: string | null;
    await this.#takeTurn();
    try {
      reason = await this.#connect(peer);
    } finally {
      this.#giveTurn();
      this.#wanted.delete(peer.id);
    }
    if (reason !== null && !this.#closed && !this.#links.has(peer.id)) {
      this.#owner.unreachable(peer.id, reason);
    }
  }

  /** Whether a node was found at an address. */
  foundAt(id: NodeId, address: Address): boolean {
    return this.#found.has(id, address);
  }

  /** Looks whether a node is where it says, unless there is no link to it. Never rejects. */
  async look(peer: Peer): Promise<void> {
    if (!this.#closed && this.#links.has(peer.id)) await this.#found.look(peer);
  }

  /** Makes the links anew that were proven by a secret that is accepted no more. */
  async renew(keyId: string): Promise<void> {
    const links = [...this.#links.values()].filter(({ proven }) =>
      proven.keyId === keyId
    );
    await Promise.all(links.map(async (link) => {
      await link.close("its secret is accepted no more");
      await this.connect(link.peer);
    }));
  }

  /** The guests that there are links with. */
  guests(): readonly NodeId[] {
    return [...this.#links.values()]
      .filter(({ proven }) => proven.rights !== undefined)
      .map(({ peer }) => peer.id);
  }

  /** Ends the link to a node that is believed no more. */
  revoke(id: NodeId): void {
    this.#links.get(id)?.end("its key is believed no more");
  }

  /** Closes all links, politely, and everything under way. */
  async close(reason: string): Promise<void> {
    this.#closed = true;
    for (const controller of this.#dialing) controller.abort(new Error(reason));
    const introduced = this.#handshakes.close(reason);
    this.#cancelLook?.();
    for (const cancel of [...this.#waits]) cancel();
    for (const connection of this.#refused) close(connection, reason);
    const links = [...this.#links.values()];
    await Promise.all([introduced, ...links.map((link) => link.close(reason))]);
  }

  async #acceptOne(connection: Connection): Promise<void> {
    let promisedTo: NodeId | null = null;
    let contested: NodeId | null = null;
    let promised: Promised | undefined;
    try {
      const introduced = await this.#introduce(connection, {
        role: "acceptor",
        admit: async (peer, proven) => {
          const refusal = this.#refuseGuest(proven) ??
            await this.#admitAccepted(peer, connection.remote);
          if (refusal?.code === "conflict") contested = peer.id;
          if (refusal) return refusal;
          promisedTo = peer.id;
          promised = this.#promised.get(peer.id);
          return refusal;
        },
      });
      if ("refusal" in introduced) {
        if (isOutdated(introduced)) {
          this.#owner.outrank(introduced.refusal.incarnation ?? 0);
        }
        this.#noteConflict(introduced.refusal, contested, connection.remote);
        this.#owner.rejected({
          address: connection.remote,
          dialed: false,
          reason: refusalText(introduced),
          expected: isExpected(introduced.refusal),
        });
        return this.#closeRefused(connection);
      }
      this.#establish(connection, introduced);
    } catch (error) {
      this.#reject(connection, reasonOf(error));
      close(connection, reasonOf(error));
    } finally {
      // A later start of the same node may have been promised a link meanwhile.
      if (
        promisedTo !== null && this.#promised.get(promisedTo) === promised
      ) this.#promised.delete(promisedTo);
    }
  }

  /** What a guest sends on can only be checked where it comes straight from it. */
  #refuseGuest(proven: Proven | undefined): Refusal | null {
    if (proven?.rights === undefined || this.#owner.takesGuests()) return null;
    const detail =
      "this node cannot check what guests send: its router neither sends straight to " +
      "each node, as peerRouter() does, nor reads packets (inspect) beside a membership " +
      "that reads messages (sift)";
    return { code: "unexpected", detail };
  }

  async #admitAccepted(
    peer: Introduction,
    remote: Address,
  ): Promise<Refusal | null> {
    for (;;) {
      const refusal = await this.#refuseTwin(peer, remote) ??
        this.#refuse(peer, remote);
      if (refusal) return refusal;
      const rival = this.#options.id < peer.id
        ? this.#dialTo(peer.id)
        : undefined;
      if (!rival) break;
      await rival.done.promise;
    }
    const since = this.#options.clock.now();
    this.#promised.set(peer.id, { peer, since, place: placeOf(remote) });
    return null;
  }

  /** Where there is a link to a node of that id which is there: why there is none to this. */
  async #refuseTwin(
    { id, incarnation }: Introduction,
    remote: Address,
  ): Promise<Refusal | null> {
    const link = this.#links.get(id);
    if (!link || this.#closed || this.#gate.isBanned(id, remote)) return null;
    const age = this.#options.clock.now() - link.since;
    if (link.peer.incarnation === incarnation && age < SIMULTANEOUS) {
      return null;
    }
    if (await link.answers(PROBE_TIMEOUT)) {
      return this.#owner.isOneStart(incarnation, link.peer.incarnation)
        ? duplicate(id)
        : conflict(id, link.connection.remote);
    }
    if (this.#links.get(id) === link) {
      link.end("it gave no sign of life, and its node came again");
    }
    return null;
  }

  #noteConflict(
    { code }: Refusal,
    contested: NodeId | null,
    address: Address,
  ): void {
    if (code !== "conflict") return;
    this.#owner.conflict({ id: contested ?? this.#options.id, address });
  }

  /** Why an incoming peer cannot be taken at all. */
  #refuse(peer: Introduction, remote: Address): Refusal | null {
    if (this.#closed) return { code: "busy", detail: "the node is closing" };
    if (this.#gate.isBanned(peer.id, remote)) return NOT_NOW;
    const current = this.#links.get(peer.id) ?? this.#promised.get(peer.id);
    if (!current) {
      return this.#outdated(peer) ??
        this.#full(this.#placesFor(peer, remote)) ??
        this.#crowded(remote);
    }
    if (current.peer.incarnation > peer.incarnation) {
      return this.#owner.isOneStart(current.peer.incarnation, peer.incarnation)
        ? duplicate(peer.id)
        : conflict(peer.id);
    }
    // Our old link may be dead without our knowing, so a peer that dials again is
    // believed; but not while the losing half of a simultaneous dial may still arrive.
    const age = this.#options.clock.now() - current.since;
    if (
      current.peer.incarnation === peer.incarnation && age < SIMULTANEOUS
    ) {
      return duplicate(peer.id);
    }
    // Otherwise links could move to one address, over its share of them.
    return placeOfLink(current) === placeOf(remote)
      ? null
      : this.#crowded(remote);
  }

  #outdated(peer: Introduction): Refusal | null {
    const known = this.#owner.knownIncarnation(peer.id);
    if (known === undefined || known <= peer.incarnation) return null;
    return {
      code: "stale",
      detail: `a later incarnation of node "${peer.id}" is known`,
      incarnation: known,
    };
  }

  #full(places: number): Refusal | null {
    let taken = this.#links.size + this.#promised.size;
    for (const dial of this.#dials) if (dial.admitted) taken++;
    if (taken < places) return null;
    this.#options.met.links++;
    return {
      code: "busy",
      detail: `the node has ${taken} links already`,
    };
  }

  /** How many links there may be for an incoming peer to get one. */
  #placesFor({ id }: Introduction, remote: Address): number {
    const { links } = this.#options.limits;
    const isKnown = this.#owner.knownIncarnation(id) !== undefined;
    if (isKnown || this.#gate.isExempt(remote)) return links;
    return links - Math.floor(links / KEPT_PART);
  }

  /** Whether nodes of one address have their share of the links. */
  #crowded(remote: Address): Refusal | null {
    if (this.#gate.isExempt(remote)) return null;
    const place = placeOf(remote);
    if (place === "") return null;
    let taken = 0;
    for (const promised of this.#promised.values()) {
      if (promised.place === place) taken++;
    }
    for (const link of this.#links.values()) {
      if (placeOfLink(link) === place) taken++;
    }
    if (taken < this.#options.limits.linksPerAddress) return null;
    this.#options.met.linksPerAddress++;
    return {
      code: "busy",
      detail: `the node has ${taken} links with nodes of ${place} already`,
    };
  }

  async #dialOnce(
    dial: Dial,
    address: Address,
    expect?: NodeId,
  ): Promise<DialResult> {
    if (this.#closed) throw new Error("this node is closing");
    const connection = await this.#open(address, expect);
    try {
      const introduced = await this.#introduce(connection, {
        role: "dialer",
        admit: (peer, proven) =>
          this.#wantsName(address, expect)
            ? dialledAgain(dial, peer)
            : this.#refuseGuest(proven) ??
              this.#admitDialed(dial, peer, connection.remote),
        ...(expect === undefined ? {} : { expect }),
      });
      if ("peer" in introduced) {
        this.#found.note(introduced.peer.id, address);
        this.#establish(connection, introduced);
        return { type: "linked", id: introduced.peer.id };
      }
      this.#closeRefused(connection);
      return this.#outcomeOf(dial, address, introduced);
    } catch (error) {
      close(connection, reasonOf(error));
      throw error;
    }
  }

  #outcomeOf(
    dial: Dial,
    address: Address,
    introduced: Extract<Introduced, { refusal: Refusal }>,
  ): DialResult {
    const { refusal } = introduced;
    if (refusal.code === "self") return { type: "self" };
    const id = dial.peerId;
    if (refusal.code === "duplicate" && id !== null && this.#links.has(id)) {
      return { type: "linked", id };
    }
    this.#noteConflict(refusal, dial.contested, address);
    this.#owner.rejected({
      address,
      dialed: true,
      reason: refusalText(introduced),
      expected: isExpected(refusal),
    });
    return { type: "refused", refusal, by: introduced.by };
  }

  async #admitDialed(
    dial: Dial,
    peer: Introduction,
    remote: Address,
  ): Promise<Refusal | null> {
    for (;;) {
      if (this.#closed) return { code: "busy", detail: "the node is closing" };
      const link = this.#links.get(peer.id);
      let refusal = this.#refuseLinked(peer);
      if (link && !refusal) {
        refusal = await this.#refuseTwin(peer, remote);
        // From the last look at the links on, nothing may come between.
        if (!refusal && this.#links.get(peer.id) !== link) continue;
      }
      if (refusal) {
        dial.peerId = peer.id;
        if (refusal.code === "conflict") dial.contested = peer.id;
        return refusal;
      }
      const earlier = this.#dialTo(peer.id);
      if (!earlier || earlier === dial) break;
      await earlier.done.promise;
    }
    dial.peerId = peer.id;
    const refusal = this.#outdated(peer) ??
      (this.#gate.isBanned(peer.id, remote) ? NOT_NOW : null) ??
      this.#full(this.#options.limits.links);
    dial.admitted = refusal === null;
    return refusal;
  }

  /** Whether there is a link to a node that was dialled, or is promised. */
  #refuseLinked({ id, incarnation }: Introduction): Refusal | null {
    const link = this.#links.get(id);
    const current = link ?? this.#promised.get(id);
    if (!current) return null;
    const known = current.peer.incarnation;
    // What it said here may be older than what it said there, or newer.
    const isSame = this.#owner.isOneStart(known, incarnation);
    return isSame || (!link && known > incarnation) ? duplicate(id) : null;
  }

  /** Whether a node that was dialled by an address alone must be dialled by its name. */
  #wantsName(address: Address, expect: NodeId | undefined): boolean {
    const { security } = this.#options.safety;
    return expect === undefined && security !== null && security.exact &&
      isEncrypted(address, security);
  }

  #dialTo(id: NodeId): Dial | undefined {
    for (const dial of this.#dials) if (dial.peerId === id) return dial;
    return undefined;
  }

  async #open(address: Address, expect?: NodeId): Promise<Connection> {
    const fault = dialFault(address, this.#options.safety);
    if (fault !== null) {
      throw new Error(`Cannot connect to "${address}": ${fault}`);
    }
    const controller = new AbortController();
    const seconds = DIAL_TIMEOUT / 1000;
    const cancel = this.#options.clock.after(
      DIAL_TIMEOUT,
      () =>
        controller.abort(
          new Error(
            `Cannot connect to "${address}": no answer in ${seconds} s`,
          ),
        ),
    );
    this.#dialing.add(controller);
    const { signal } = controller;
    const aborted = Promise.withResolvers<never>();
    signal.addEventListener("abort", () => aborted.reject(signal.reason));
    const opened = this.#options.transport.connect(address, {
      signal,
      ...(expect === undefined ? {} : { expect }),
    });
    try {
      // A transport, or a plugin around it, that does not heed the signal.
      return await Promise.race([opened, aborted.promise]);
    } catch (error) {
      opened.then((late) => close(late, "it was given up"), () => {});
      throw error;
    } finally {
      cancel();
      this.#dialing.delete(controller);
    }
  }

  #introduce(
    connection: Connection,
    options: Omit<IntroduceOptions, "self">,
  ): Promise<Introduced> {
    return this.#handshakes.introduce(connection, {
      ...options,
      self: () => this.#owner.introduce(connection.remote),
      ...(connection.carrier === undefined
        ? {}
        : { carrier: connection.carrier }),
    });
  }

  #establish(
    connection: Connection,
    { peer: introduction, proven = {} }: Extract<
      Introduced,
      { peer: Introduction }
    >,
  ): void {
    if (this.#closed) return close(connection, "this node is closing");
    const { id, incarnation, addresses, meta } = introduction;
    const peer: Peer = {
      id,
      incarnation,
      addresses: dialableFrom(connection.remote, addresses),
      ...(meta.length > 0 ? { meta } : {}),
    };
    const { slowLink } = this.#options;
    const link = new Link(this.#linkOwner(), {
      ...this.#options,
      peer,
      connection: this.#options.wrap(connection, { id }),
      maxMessage: introduction.maxMessage,
      proven,
      contract: introduction.contract ?? null,
      queued: this.#queued,
      slowLink: typeof slowLink === "function" ? slowLink({ id }) : slowLink,
    });
    const old = this.#links.get(id);
    this.#links.set(id, link);
    old?.end("a later connection of the same node replaced it");
    this.#pace.answered(connection.remote);
    if (isMember(proven)) this.#gate.exempt(connection.remote);
    this.#owner.up(link);
    link.start();
    this.#lookLater();
  }

  /** One timer for all links, while there are some. */
  #lookLater(): void {
    if (this.#cancelLook || this.#closed) return;
    this.#cancelLook = this.#options.clock.after(LOOK, () => {
      this.#cancelLook = null;
      for (const link of this.#links.values()) link.look(LOOK);
      if (this.#links.size > 0) this.#lookLater();
    });
  }

  #linkOwner(): LinkOwner {
    const owner = this.#owner;
    return {
      received: (link, message, lent) => owner.received(link, message, lent),
      congestion: (link) => owner.congestion(link),
      slow: (link, slow) => owner.slow(link, slow),
      oversized: (link, error) => owner.oversized(link, error),
      ended: (link, reason, error) => {
        if (this.#links.get(link.peer.id) === link) {
          this.#links.delete(link.peer.id);
        }
        if (error !== null && !this.#closed) this.#noteBroken(link, error);
        owner.ended(link, reason, error);
      },
    };
  }

  /** A link that breaks as soon as it is there would be opened again at once, for ever. */
  #noteBroken({ peer, since, connection, proven }: Link, error: unknown): void {
    const isFault = isViolation(error);
    if (isFault) this.#gate.fault(connection.remote);
    const age = this.#options.clock.now() - since;
    if (!isFault && age >= SHORT_LIVED) return;
    const isProven = proven.key !== undefined;
    this.#gate.faultOf(peer.id, connection.remote, isProven);
  }

  /** Null: there is a link. Otherwise why there is none. */
  async #connect(peer: Peer): Promise<string | null> {
    if (this.#links.has(peer.id)) return null;
    const addresses = this.#dialable(peer.addresses);
    if (addresses.length === 0) {
      return "it has no address that this node can dial";
    }
    for (let tries = 0; tries < RETRIES; tries++) {
      const results: DialResult[] = [];
      for (const address of addresses) {
        const result = await this.#dialMember(address, peer.id);
        if (result.type === "linked" || this.#links.has(peer.id)) return null;
        results.push(result);
      }
      if (!results.some(isPassing)) return results.map(resultText).join("; ");
      await this.#wait(RETRY_DELAY * (0.5 + this.#options.random()));
      if (this.#closed || this.#links.has(peer.id)) return null;
    }
    return "it refused again and again";
  }

  #dialable(addresses: readonly Address[]): readonly Address[] {
    const { schemes } = this.#options.transport;
    return addresses.filter((address) => schemes.includes(schemeOf(address)))
      .slice(0, MAX_ADDRESSES);
  }

  /** Whether the node of that id answers at an address; it ends at finding the link to it. */
  async #answersAt(address: Address, id: NodeId): Promise<boolean> {
    await this.#takeTurn();
    try {
      if (this.#closed || !this.#links.has(id)) return false;
      const result = await this.#dialMember(address, id);
      return result.type === "linked" && result.id === id;
    } finally {
      this.#giveTurn();
    }
  }

  async #dialMember(address: Address, id: NodeId): Promise<DialResult> {
    if (this.#gate.isBanned(id, address)) {
      const why =
        `links between the two nodes broke again and again: "${id}" is banned for now`;
      return { type: "failed", error: new Error(why) };
    }
    if (!this.#pace.mayDial(address)) return TOO_MANY_DIALS;
    const over = this.#pace.start(address);
    try {
      return await this.dial(address, id);
    } finally {
      over();
    }
  }

  async #takeTurn(): Promise<void> {
    if (this.#connecting >= this.#options.limits.dials) {
      this.#options.met.dials++;
      const turn = Promise.withResolvers<void>();
      this.#turns.push(turn.resolve);
      await turn.promise;
    } else this.#connecting++;
  }

  #giveTurn(): void {
    const next = this.#turns.shift();
    if (next) next();
    else this.#connecting--;
  }

  #wait(delay: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        cancel();
        this.#waits.delete(end);
        resolve();
      };
      const cancel = this.#options.clock.after(delay, end);
      this.#waits.add(end);
    });
  }

  /** Lets the refusal reach the other end. */
  #closeRefused(connection: Connection): void {
    if (this.#closed || this.#refused.size >= MAX_REFUSED) {
      return close(connection, "it was refused");
    }
    this.#refused.add(connection);
    const closed = (): void => void this.#refused.delete(connection);
    connection.close().then(closed, closed);
  }

  #reject(connection: Connection, reason: string): void {
    this.#owner.rejected({
      address: connection.remote,
      dialed: false,
      reason,
      expected: false,
    });
  }
}

const TOO_MANY_DIALS: DialResult = {
  type: "failed",
  error: new Error("too many dials went to its address just now"),
};

function placeOfLink(link: Link | Promised): string {
  return link instanceof Link ? placeOf(link.connection.remote) : link.place;
}

/** Whether a peer has proved that it is a full member. */
function isMember({ keyId, key, rights }: Proven): boolean {
  return (keyId !== undefined || key !== undefined) && rights === undefined;
}

/** A refusal that says the node lives and may take another dial soon. */
function isPassing(result: DialResult): boolean {
  return result.type === "refused" &&
    (result.refusal.code === "duplicate" || result.refusal.code === "busy");
}

/** Whether the other end knows a later start of this node. */
function isOutdated(
  { refusal, by }: { refusal: Refusal; by: "us" | "them" },
): boolean {
  return refusal.code === "stale" && by === "them";
}

/**
 * Whether a refusal is part of how nodes come to have one link each, also where all have
 * the same list of entry nodes, themselves included.
 */
function isExpected({ code }: Refusal): boolean {
  return code === "duplicate" || code === "stale" || code === "self";
}

/** How a dial ended, for a person. */
export function resultText(result: DialResult): string {
  switch (result.type) {
    case "refused":
      return result.refusal.detail;
    case "failed":
      return reasonOf(result.error);
    case "self":
      return "the address is this node's own";
    case "linked":
      return "there is a link";
  }
}

function refusalText(
  { refusal, by }: Extract<Introduced, { refusal: Refusal }>,
): string {
  if (by === "them") return `refused by the other end: ${refusal.detail}`;
  return refusal === NOT_NOW
    ? "it is banned for now: its links broke again and again"
    : refusal.detail;
}

/** Nothing is promised to whoever answered under a name that every node has. */
function dialledAgain(dial: Dial, { id }: Introduction): Refusal {
  dial.named = id;
  return { code: "duplicate", detail: `node "${id}" is dialled by its name` };
}

function duplicate(id: NodeId): Refusal {
  return {
    code: "duplicate",
    detail: `there is a link to node "${id}" already`,
  };
}

/** The program that was there first stays; `remote`: the other end of the link to it. */
function conflict(id: NodeId, remote?: Address): Refusal {
  const where = remote === undefined
    ? "the other one is linked"
    : `the one at the link with "${remote}" gives signs of life`;
  return {
    code: "conflict",
    detail: `two programs share the id "${id}": ${where}`,
  };
}

/** Whoever is banned learns no more; why was logged here when that began. */
const NOT_NOW: Refusal = { code: "busy", detail: "not now" };

/** A loopback address means another machine where it is told from elsewhere. */
function dialableFrom(
  remote: Address,
  addresses: readonly Address[],
): readonly Address[] {
  if (reachOfRemote(remote) === "local") return addresses;
  return addresses.filter((address) => reachOfRemote(address) === "network");
}

function schemeOf(address: Address): string {
  return address.slice(0, Math.max(0, address.indexOf(":")));
}

function close(connection: Connection, reason: string): void {
  connection.close(new Error(reason)).catch(() => {});
}
