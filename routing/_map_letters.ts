import type { Chart } from "./_map_chart.ts";
import type { Links, MapCounters } from "./_map_links.ts";
import type { Neighbour } from "./_map_neighbour.ts";
import {
  CARRY,
  concat,
  headOf,
  LETTER,
  readLetter,
  readReport,
  readTally,
  REPORT,
  RETURN,
  type Routed,
  TALLY,
  type Tally,
  writeLetterHead,
  writeReport,
  writeRouted,
  writeTally,
} from "./_map_packets.ts";
import type { View } from "./_map_view.ts";
import type { Order } from "./_order.ts";
import { epochOf } from "./incarnation.ts";
import type { Lane, NodeId, RouterContext } from "./types.ts";

/** How often a packet may leave its path for another. */
const MAX_DETOURS = 8;
/** How long a payload waits at its origin for a way, in ms. */
const PATIENCE = 1000;
/** What waits at most, in packets and bytes. */
const MAX_HELD = 1024;
const MAX_HELD_BYTES = 4 * 1024 * 1024;

/** Why a letter to a former life of its target is not delivered. */
const STARTED_ANEW = "it has started anew";

/** A letter at its origin. */
interface Outgoing {
  readonly to: NodeId;
  readonly content: readonly Uint8Array[];
  readonly payload: Uint8Array;
  /** The epoch of the target's life that it is for alone; 0: any. */
  readonly life: number;
  readonly lane: Lane;
  readonly detours: number;
  /** The node that had it last. */
  readonly lastHop: NodeId;
}

/** What letters are sent with. */
export interface LettersOptions {
  readonly context: RouterContext;
  readonly links: Links;
  readonly chart: Chart;
  readonly view: View;
  readonly order: Order;
  readonly counters: MapCounters;
  /** Whether others mean this life of the node by an epoch. */
  isOwnLife(epoch: number): boolean;
  /** A payload for all has arrived by a path. */
  carried(from: NodeId, packet: Uint8Array, lane: Lane): void;
  /** A node tells what has come over a link that ended. */
  tallied(by: NodeId, tally: Tally): void;
}

/**
 * Payloads for one node. Each carries the path that it takes, so that those between
 * need not agree on the map, and no node sees it twice.
 */
export class Letters {
  readonly #options: LettersOptions;
  /** What waits for a way, and until when. */
  #held: { readonly letter: Outgoing; readonly until: number }[] = [];
  #heldBytes = 0;
  #cancel: (() => void) | null = null;
  #closed = false;

  constructor(options: LettersOptions) {
    this.#options = options;
  }

  /** Sends a payload of this node; false: there is no room for it. */
  send(to: NodeId, payload: Uint8Array, lane: Lane): boolean {
    const { order, context: { self } } = this.#options;
    const stamp = order.next(to, lane);
    return this.#start({
      to,
      content: [writeLetterHead({ stamp, life: 0 }), payload],
      payload,
      life: 0,
      lane,
      detours: 0,
      lastHop: self.id,
    });
  }

  #start(letter: Outgoing): boolean {
    const { to, content, lane, detours } = letter;
    const path = this.#options.view.pathTo(to);
    if (path === null) return this.#hold(letter);
    return this.#send({ kind: LETTER, path, detours }, 0, content, lane);
  }

  /** Hands a packet to the node on its path that comes after the one at `at`. */
  #send(
    head: Omit<Routed, "content">,
    at: number,
    content: readonly Uint8Array[],
    lane: Lane,
  ): boolean {
    const next = head.path[at + 1];
    return next !== undefined &&
      this.#options.links.pass(next, writeRouted(head, content), lane);
  }

  /** Takes a packet with a path: hands it up, or on. */
  take(from: NodeId, routed: Routed, packet: Uint8Array, lane: Lane): void {
    const { context: { self }, links, counters } = this.#options;
    const { path } = routed;
    const at = path.indexOf(self.id);
    if (at < 1 || path[at - 1] !== from) {
      counters.forged++;
      return;
    }
    const next = path[at + 1];
    if (next === undefined) return this.#arrive(routed, lane);
    if (!links.isOpen(next)) {
      return this.detour(routed, lane, `it has no link to "${next}"`);
    }
    if (!links.pass(next, packet, lane)) this.#giveUp(routed, noRoom(next));
  }

  // -- Arrival --

  #arrive(routed: Routed, lane: Lane): void {
    const { context: { up }, carried, tallied } = this.#options;
    const { kind, path, content } = routed;
    const origin = path[0] ?? "";
    if (kind === LETTER) return this.#deliver(origin, content, lane);
    if (kind === RETURN) return this.#resend(routed, lane);
    if (kind === CARRY) return carried(path.at(-2) ?? "", content, lane);
    if (kind === TALLY) return tallied(origin, readTally(content));
    const { to, head, reason } = readReport(content);
    up.undelivered(to, head, origin, reason);
  }

  #deliver(origin: NodeId, content: Uint8Array, lane: Lane): void {
    const { context: { self }, order, counters, isOwnLife } = this.#options;
    const { stamp, life, payload } = readLetter(content);
    const isGenuine = stamp.origin === origin && stamp.to === self.id &&
      stamp.lane === lane;
    if (!isGenuine) counters.forged++;
    // The life before may have had it already.
    else if (life !== 0 && !isOwnLife(life)) {
      this.report(origin, self.id, payload, STARTED_ANEW);
    } else if (order.first(stamp)) order.take(stamp, payload);
  }

  /** A letter of this node came back: it is sent again, as the map is now. */
  #resend({ path, detours, content }: Routed, lane: Lane): void {
    const { context: { self }, counters } = this.#options;
    const { stamp, life, payload } = readLetter(content);
    const { origin, to } = stamp;
    if (
      origin !== self.id || to === null || to === self.id || stamp.lane !== lane
    ) {
      counters.forged++;
      return;
    }
    const lastHop = path[0] ?? self.id;
    if (detours >= MAX_DETOURS) {
      return this.#fail(to, payload, lastHop, "it came back too often");
    }
    this.#restart({
      to,
      content: [content],
      payload,
      life,
      lane,
      detours,
      lastHop,
    });
  }

  #restart(letter: Outgoing): void {
    const { to, payload, life, lastHop } = letter;
    const known = this.#options.chart.get(to)?.advert.incarnation ?? 0;
    if (life !== 0 && life !== epochOf(known)) {
      return this.#fail(to, payload, lastHop, STARTED_ANEW);
    }
    if (this.#start(letter)) return;
    const { self } = this.#options.context;
    this.#fail(to, payload, self.id, "there is no room for it");
  }

  // -- Other ways --

  /**
   * Sends another way what its next node may or may not have. If that is its target, it
   * is for this life of it alone: the next life must not have it again.
   *
   * @throws {MalformedError} If it is malformed.
   */
  repeat(
    routed: Routed,
    lane: Lane,
    reason: string,
    { id, incarnation }: Neighbour,
  ): void {
    if (routed.kind !== LETTER || routed.path.at(-1) !== id) {
      return this.detour(routed, lane, reason);
    }
    const { stamp, payload } = readLetter(routed.content);
    const head = writeLetterHead({ stamp, life: epochOf(incarnation) });
    const content = concat([head, payload]);
    this.detour({ ...routed, content }, lane, reason);
  }

  /** Sends a packet on around the nodes that it has passed; where there is no way, back. */
  detour(routed: Routed, lane: Lane, reason: string): void {
    const { context: { self }, view, counters } = this.#options;
    const { kind, path, detours, content } = routed;
    const at = path.indexOf(self.id);
    const passed = path.slice(0, Math.max(0, at));
    const target = path.at(-1) ?? "";
    if (detours >= MAX_DETOURS) return this.#giveUp(routed, reason);
    const rest = view.detour(target, passed);
    if (rest !== null) {
      const head = { kind, path: [...passed, ...rest], detours: detours + 1 };
      if (!this.#send(head, at, [content], lane)) {
        this.#giveUp(routed, noRoom(rest[1] ?? ""));
      }
    } else if (kind !== LETTER) counters.lost++;
    else if (at > 0) this.#sendBack(routed, lane);
    else this.#resend({ ...routed, detours: detours + 1 }, lane);
  }

  #sendBack(
    { path: [origin = ""], detours, content }: Routed,
    lane: Lane,
  ): void {
    const path = this.#options.view.pathTo(origin) ?? [];
    const head = { kind: RETURN, path, detours: detours + 1 } as const;
    if (!this.#send(head, 0, [content], lane)) this.#options.counters.lost++;
  }

  #giveUp({ kind, path, content }: Routed, reason: string): void {
    if (kind !== LETTER) {
      this.#options.counters.lost++;
      return;
    }
    const { stamp, payload } = readLetter(content);
    this.report(stamp.origin, path.at(-1) ?? "", payload, reason);
  }

  /** Tells the origin of a payload that this node could not carry it further. */
  report(
    origin: NodeId,
    to: NodeId,
    payload: Uint8Array,
    reason: string,
  ): void {
    const { context: { self }, view, counters } = this.#options;
    if (origin === self.id) return this.#fail(to, payload, self.id, reason);
    const path = view.pathTo(origin) ?? [];
    const content = [writeReport({ to, reason, head: headOf(payload) })];
    const head = { kind: REPORT, path, detours: 0 } as const;
    if (!this.#send(head, 0, content, "control")) counters.lost++;
  }

  /** Tells the other end of a link that ended what has come over it, by another way. */
  tally(to: NodeId, tally: Tally): void {
    const path = this.#options.view.pathTo(to) ?? [];
    const head = { kind: TALLY, path, detours: 0 } as const;
    this.#send(head, 0, [writeTally(tally)], "control");
  }

  #fail(
    to: NodeId,
    payload: Uint8Array,
    lastHop: NodeId,
    reason: string,
  ): void {
    this.#options.context.up.undelivered(to, headOf(payload), lastHop, reason);
  }

  // -- Waiting at the origin --

  #hold(letter: Outgoing): boolean {
    const { context: { clock }, counters } = this.#options;
    const bytes = this.#heldBytes + letter.payload.length;
    if (this.#held.length >= MAX_HELD || bytes > MAX_HELD_BYTES) {
      counters.dropped++;
      return false;
    }
    this.#held.push({ letter, until: clock.now() + PATIENCE });
    this.#heldBytes = bytes;
    this.#cancel ??= clock.after(PATIENCE, () => this.look());
    return true;
  }

  /** Letters that wait for a way. */
  get waiting(): number {
    return this.#held.length;
  }

  close(): void {
    this.#closed = true;
    this.#cancel?.();
    this.#held = [];
  }

  /** Sends what waits and has a way by now, and gives up what has waited for too long. */
  look(): void {
    const { context: { clock }, view } = this.#options;
    const held = this.#held;
    this.#cancel?.();
    this.#cancel = null;
    this.#held = [];
    this.#heldBytes = 0;
    for (const waiting of held) {
      // Whoever is told that one is undelivered may close the router.
      if (this.#closed) return;
      const { letter, until } = waiting;
      const { to, payload, lastHop } = letter;
      if (view.pathTo(to) !== null) this.#restart(letter);
      else if (clock.now() >= until) {
        this.#fail(to, payload, lastHop, "there is no way to it");
      } else {
        this.#held.push(waiting);
        this.#heldBytes += payload.length;
        this.#cancel ??= clock.after(until - clock.now(), () => this.look());
      }
    }
  }
}

function noRoom(id: NodeId): string {
  return `there is no room on the link to "${id}"`;
}
