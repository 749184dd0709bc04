import type { Codec } from "@devts/protocol";
import type { Clock, NodeId } from "@devts/routing";
import { Fifo } from "./_fifo.ts";
import { reasonOf, StreamError, type StreamFailure } from "./errors.ts";
import { NO_HEADERS } from "./headers.ts";
import type { MetLimits } from "./limits.ts";
import { type Slab, SlabPool } from "./slab.ts";
import {
  type Stream,
  StreamEnd,
  type StreamOwner,
  type StreamPeer,
} from "./stream.ts";
import {
  ACCEPT,
  acceptFrame,
  CREDIT,
  DATA,
  END,
  FRAME_HEADER,
  malformed,
  numbersFrame,
  OPEN,
  openFrame,
  PROBE,
  readName,
  readReset,
  readUint32,
  readUint53,
  RESET,
  type ResetCode,
  resetFrame,
  YOURS,
} from "./stream_wire.ts";
import type { HandlerContext } from "./types.ts";

/** What is on its way to one node without an acknowledgement, in bytes: over its link. */
const IN_FLIGHT = 2_097_152;
/** Through others, whose links are shared, and slower. */
const IN_FLIGHT_RELAYED = 524_288;
/** What has come is acknowledged after so long, in ms, where little follows. */
const ACKNOWLEDGE_AFTER = 20;
/** How often the streams are looked at, in ms. */
const LOOK = 1_000;
/** So many times the streams of one peer are those of all. */
const PEERS = 8;
/** Streams that are over and remembered, so that what comes late is understood. */
const REMEMBERED = 1_024;

/** Handles a stream that another node opens. */
export type StreamHandler = {
  bivariant(stream: Stream, context: HandlerContext): unknown;
}["bivariant"];

/** Counts of streams. */
export interface StreamCounts {
  /** Streams that this node opened. */
  streamsOpened: number;
  /** Streams of others that it accepted. */
  streamsAccepted: number;
  /** Streams of others that it refused. */
  streamsRefused: number;
  /** Streams that failed. */
  streamsFailed: number;
}

/** What the streams are made with. */
export interface StreamsOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly codec: Codec;
  /** Room in front of a payload, in bytes. */
  readonly headroom: number;
  /** Streams that one node may open here, and this node there. */
  readonly streams: number;
  /** The longest message that is taken, in bytes. */
  readonly longest: number;
  readonly counts: StreamCounts;
  readonly met: MetLimits;
  /** Aborts when this node closes. */
  readonly signal: AbortSignal;
  /**
   * Sends a payload with room in front; false: it is lost. `slab` is where it stands; to
   * be released once it is not needed, if ever.
   */
  ship(
    to: NodeId,
    message: Uint8Array,
    slab: Slab | null,
    lane: "control" | "data",
  ): boolean;
  /** Whether what is sent to a node now leaves soon. */
  hasRoom(to: NodeId): boolean;
  /** Whether what is sent goes straight to its target. */
  isDirect(): boolean;
  /** A handler failed. */
  failed(name: string, from: NodeId, error: unknown): void;
  /** Sees to it that a rejection of which nobody takes notice ends nothing. */
  quiet<T>(promise: Promise<T>): Promise<T>;
}

/** A node that there are streams with. */
interface Peer extends StreamPeer {
  readonly own: Map<number, StreamEnd>;
  readonly theirs: Map<number, StreamEnd>;
  /** Places taken by its streams: each until both it and its handler have ended. */
  taken: number;
  /** Streams that wait for their turn to send. */
  readonly ready: Fifo<StreamEnd>;
  isPumping: boolean;
}

/**
 * The streams of a node: who has which, whose turn it is, and who is silent.
 *
 * - **Fairness.** At most 2 MiB is on its way to one node without an acknowledgement
 *   (512 KiB through relays), however many streams there are: an event waits behind no
 *   more than that. Streams with
 *   one node send a piece of 120 KiB each in turn.
 * - **Bounds.** What a peer may send without the program receiving it: 16 MiB, 16 KiB
 *   for each further stream, and as much as the longest message takes of those that are
 *   longer than the window of their stream.
 */
export class Streams implements StreamOwner {
  readonly #options: StreamsOptions;
  readonly #handlers = new Map<string, StreamHandler>();
  readonly #peers = new Map<string, Peer>();
  /** Streams that are over, and what had come when they ended in order. */
  readonly #past = new Map<string, number | null>();
  readonly #pool = new SlabPool();
  readonly #open = new Set<StreamEnd>();
  readonly #dirty = new Set<StreamEnd>();
  readonly #unacknowledged = new Set<StreamEnd>();
  #taken = 0;
  #next: number;
  #isBusy = false;
  #cancelLook: (() => void) | null = null;
  #cancelAcknowledge: (() => void) | null = null;
  #isClosed = false;
  /** None of a name that begins with these is accepted. */
  readonly #refusing = new Set<string>();
  readonly #flush = (): void => {
    for (const stream of this.#dirty) {
      this.#dirty.delete(stream);
      stream.flush();
    }
  };
  readonly #turn = (): void => {
    if (this.#dirty.size === 0) {
      this.#isBusy = false;
      if (this.#open.size === 0) this.#pool.clear();
      return;
    }
    this.#flush();
    this.#options.clock.soon(this.#turn);
  };

  constructor(options: StreamsOptions) {
    this.#options = options;
    this.#next = Math.floor(options.random() * 2 ** 32);
  }

  // -- For the node --

  /**
   * Handles streams of a name.
   *
   * @throws {TypeError} If there is a handler.
   */
  handle(name: string, handler: StreamHandler): Disposable {
    if (this.#handlers.has(name)) {
      throw new TypeError(
        `Cannot handle streams "${name}": there is a handler already`,
      );
    }
    this.#handlers.set(name, handler);
    return {
      [Symbol.dispose]: (): void => {
        if (this.#handlers.get(name) === handler) this.#handlers.delete(name);
      },
    };
  }

  /** Opens a stream; `bytes`: its name, encoded. */
  open(
    to: NodeId,
    name: string,
    bytes: Uint8Array,
    timeout: number,
    signal: AbortSignal | undefined,
  ): Promise<Stream> {
    const peer = this.#peerOf(to);
    const { streams, clock, longest, counts } = this.#options;
    if (peer.own.size >= streams || this.#open.size >= PEERS * streams) {
      this.#drop(peer);
      this.#options.met.streams++;
      return this.quiet(Promise.reject(
        new StreamError(
          "limit",
          `Cannot open a stream "${name}" with node "${to}": this node has ${this.#open.size} streams already`,
        ),
      ));
    }
    const id = this.#freeId(peer);
    const stream = new StreamEnd(this, {
      name,
      id,
      isOwn: true,
      shared: peer,
      limits: null,
    });
    peer.own.set(id, stream);
    this.#begun(stream);
    counts.streamsOpened++;
    const cancel = clock.after(
      timeout,
      () =>
        stream.fail("timeout", `it was not accepted in ${timeout} ms`, {
          tell: "aborted",
        }),
    );
    stream.opened.then(cancel, cancel);
    if (signal !== undefined) abortWith(signal, stream);
    const frame = openFrame(id, stream.limit, longest, bytes);
    if (!this.sendFrame(to, frame, "data")) {
      stream.fail("lost", "its link takes nothing");
    }
    return stream.opened;
  }

  /**
   * A payload of a stream came. Where it is `lent`, its bytes change afterwards.
   *
   * @throws {SyntaxError} If it is malformed, or its sender does not keep to the protocol.
   */
  take(from: NodeId, frame: Uint8Array, lent: boolean): void {
    if (this.#isClosed) return;
    const id = readUint32(frame, 2);
    const flags = frame[1] ?? 0;
    const type = flags & ~YOURS;
    const isOwn = flags !== type;
    if (type === OPEN) return this.#accept(from, id, frame, isOwn);
    const peer = this.#peers.get(`p:${from}`);
    const stream = (isOwn ? peer?.own : peer?.theirs)?.get(id);
    if (stream === undefined) {
      return this.#takeUnknown(from, id, isOwn, type, frame);
    }
    stream.heardAt = this.now();
    switch (type) {
      case DATA:
        return stream.data(readUint53(frame, FRAME_HEADER), frame, lent);
      case CREDIT:
        return stream.credited(
          readUint53(frame, FRAME_HEADER),
          readUint53(frame, FRAME_HEADER + 8),
        );
      case ACCEPT:
        return stream.accepted(
          readUint53(frame, FRAME_HEADER),
          readUint32(frame, FRAME_HEADER + 8),
        );
      case END:
        return stream.ended(readUint53(frame, FRAME_HEADER));
      case PROBE:
        return stream.probed(readUint53(frame, FRAME_HEADER));
      case RESET: {
        const { code, text } = readReset(frame);
        return stream.reset(code, text);
      }
    }
    // Types that later versions add are for those who know them.
  }

  /** How many nodes there are streams with. */
  get size(): number {
    return this.#peers.size;
  }

  /** Accepts no more streams of a name that begins with a prefix, until that is disposed. */
  refuse(prefix: string): Disposable {
    this.#refusing.add(prefix);
    return {
      [Symbol.dispose]: (): void => void this.#refusing.delete(prefix),
    };
  }

  /** Whether there are streams of a name that begins with a prefix. */
  busy(prefix: string): boolean {
    if (prefix === "") return this.size > 0;
    for (const { name } of this.#open) if (name.startsWith(prefix)) return true;
    return false;
  }

  /** There may be room for what waits. */
  pump(): void {
    for (const peer of this.#peers.values()) this.#pumpPeer(peer);
  }

  /** All streams with the nodes for which `isGone` have failed. */
  gone(isGone: (id: NodeId) => boolean, why: string): void {
    if (this.#peers.size === 0) return;
    for (const { id, own, theirs } of [...this.#peers.values()]) {
      if (!isGone(id)) continue;
      for (const stream of [...own.values(), ...theirs.values()]) {
        stream.fail("gone", why);
      }
    }
  }

  /** Ends all. */
  close(): void {
    for (const stream of [...this.#open]) {
      stream.fail("closed", "this node was closed", {
        tell: "closed",
        text: "",
      });
    }
    this.#isClosed = true;
    this.#cancelLook?.();
    this.#cancelAcknowledge?.();
    this.#handlers.clear();
    this.#past.clear();
  }

  // -- For a stream --

  get codec(): Codec {
    return this.#options.codec;
  }

  get headroom(): number {
    return this.#options.headroom;
  }

  get longest(): number {
    return this.#options.longest;
  }

  get inFlight(): number {
    return this.#options.isDirect() ? IN_FLIGHT : IN_FLIGHT_RELAYED;
  }

  now(): number {
    return this.#options.clock.now();
  }

  memory(size: number): Slab {
    return this.#pool.take(size);
  }

  sendPiece(to: NodeId, message: Uint8Array, slab: Slab): boolean {
    return this.#options.ship(to, message, slab, "data");
  }

  sendFrame(
    to: NodeId,
    frame: Uint8Array,
    lane: "control" | "data",
  ): boolean {
    const { headroom } = this.#options;
    const message = new Uint8Array(headroom + frame.length);
    message.set(frame, headroom);
    return this.#options.ship(to, message, null, lane);
  }

  ready(stream: StreamEnd): void {
    const peer = this.#peers.get(`p:${stream.peer}`);
    if (peer === undefined) return;
    this.#queue(peer, stream);
    this.#pumpPeer(peer);
  }

  soon(stream: StreamEnd): void {
    this.#dirty.add(stream);
    if (this.#isBusy) return;
    this.#isBusy = true;
    queueMicrotask(this.#flush);
    this.#options.clock.soon(this.#turn);
  }

  acknowledge(stream: StreamEnd): void {
    this.#unacknowledged.add(stream);
    this.#cancelAcknowledge ??= this.#options.clock.after(
      ACKNOWLEDGE_AFTER,
      () => {
        this.#cancelAcknowledge = null;
        for (const each of this.#unacknowledged) each.acknowledge();
        this.#unacknowledged.clear();
      },
    );
  }

  tooLong(): void {
    this.#options.met.streamMessage++;
  }

  over(stream: StreamEnd, failure: StreamFailure | null): void {
    const { counts } = this.#options;
    if (failure !== null) counts.streamsFailed++;
    this.#open.delete(stream);
    this.#dirty.delete(stream);
    this.#unacknowledged.delete(stream);
    this.#remember(stream, failure === null ? stream.received : null);
    const peer = this.#peers.get(`p:${stream.peer}`);
    if (peer === undefined) return;
    (stream.isOwn ? peer.own : peer.theirs).delete(stream.id);
    this.#pumpPeer(peer);
    this.#drop(peer);
  }

  quiet<T>(promise: Promise<T>): Promise<T> {
    return this.#options.quiet(promise);
  }

  // -- Accepting --

  #accept(
    from: NodeId,
    id: number,
    frame: Uint8Array,
    isOwn: boolean,
  ): void {
    if (isOwn) throw malformed();
    const limit = readUint53(frame, FRAME_HEADER);
    const longest = readUint32(frame, FRAME_HEADER + 8);
    const name = readName(frame);
    const peer = this.#peerOf(from);
    if (peer.theirs.has(id)) throw malformed();
    const handler = this.#handlers.get(name);
    const refusal = this.#refusal(name, peer, handler);
    if (handler === undefined || refusal !== null) {
      this.#options.counts.streamsRefused++;
      if (refusal === "limit") this.#options.met.streams++;
      this.#drop(peer);
      return this.#reset(from, id, false, refusal ?? "unhandled");
    }
    const stream = new StreamEnd(this, {
      name,
      id,
      isOwn: false,
      shared: peer,
      limits: { limit, longest },
    });
    peer.theirs.set(id, stream);
    peer.taken++;
    this.#taken++;
    this.#options.counts.streamsAccepted++;
    this.#begun(stream);
    const accept = acceptFrame(id, stream.limit, this.#options.longest);
    this.sendFrame(from, accept, "control");
    this.#run(handler, stream, peer);
  }

  #refusal(
    name: string,
    { taken }: Peer,
    handler: StreamHandler | undefined,
  ): ResetCode | null {
    if (handler === undefined) return "unhandled";
    for (const prefix of this.#refusing) {
      if (name.startsWith(prefix)) return "unhandled";
    }
    const { streams } = this.#options;
    return taken >= streams || this.#taken >= PEERS * streams ? "limit" : null;
  }

  async #run(
    handler: StreamHandler,
    stream: StreamEnd,
    peer: Peer,
  ): Promise<void> {
    try {
      const { signal } = this.#options;
      const { peer: from, name } = stream;
      await handler(stream, { from, name, signal, headers: NO_HEADERS });
    } catch (error) {
      this.#options.failed(stream.name, stream.peer, error);
      stream.abort(error);
    }
    await stream.closed.catch(() => {});
    peer.taken--;
    this.#taken--;
    this.#drop(peer);
  }

  // -- What nobody knows --

  #takeUnknown(
    from: NodeId,
    id: number,
    isOwn: boolean,
    type: number,
    frame: Uint8Array,
  ): void {
    if (type === RESET || type === CREDIT) return;
    const past = this.#past.get(keyOf(from, id, isOwn));
    if (past === undefined) return this.#reset(from, id, isOwn, "unknown");
    if (type !== PROBE) return;
    if (past === null || readUint53(frame, FRAME_HEADER) > past) {
      return this.#reset(from, id, isOwn, "unknown");
    }
    const credit = numbersFrame(
      isOwn ? CREDIT : CREDIT | YOURS,
      id,
      past,
      past,
    );
    this.sendFrame(from, credit, "control");
  }

  /** A node has no right to what it opened. */
  forbid(from: NodeId, id: number, why: string): void {
    this.sendFrame(
      from,
      resetFrame(RESET | YOURS, id, "aborted", why),
      "control",
    );
  }

  /** A node has no right to what this one opened, and was not sent it. */
  forbade(from: NodeId, id: number, why: string): void {
    this.take(from, resetFrame(RESET | YOURS, id, "aborted", why), false);
  }

  #reset(from: NodeId, id: number, isOwn: boolean, code: ResetCode): void {
    const type = isOwn ? RESET : RESET | YOURS;
    this.sendFrame(from, resetFrame(type, id, code, ""), "control");
  }

  #remember({ peer, id, isOwn }: StreamEnd, received: number | null): void {
    this.#past.set(keyOf(peer, id, isOwn), received);
    if (this.#past.size <= REMEMBERED) return;
    for (const oldest of this.#past.keys()) {
      this.#past.delete(oldest);
      return;
    }
  }

  // -- The table --

  #begun(stream: StreamEnd): void {
    this.#open.add(stream);
    this.#cancelLook ??= this.#lookLater();
  }

  #lookLater(): () => void {
    return this.#options.clock.after(LOOK, () => {
      this.#cancelLook = null;
      const now = this.now();
      for (const stream of [...this.#open]) stream.look(now);
      if (this.#open.size > 0) this.#cancelLook ??= this.#lookLater();
    });
  }

  #peerOf(id: NodeId): Peer {
    const known = this.#peers.get(`p:${id}`);
    if (known !== undefined) return known;
    const peer: Peer = {
      id,
      inFlight: 0,
      credit: 0,
      long: 0,
      waiting: new Set(),
      kept: 0,
      own: new Map(),
      theirs: new Map(),
      taken: 0,
      ready: new Fifo(),
      isPumping: false,
    };
    this.#peers.set(`p:${id}`, peer);
    return peer;
  }

  /** Forgets a node that there is nothing with any more. */
  #drop({ id, own, taken }: Peer): void {
    if (own.size + taken === 0) {
      this.#peers.delete(`p:${id}`);
    }
  }

  #freeId({ own }: Peer): number {
    while (own.has(this.#next)) this.#next = (this.#next + 1) >>> 0;
    const id = this.#next;
    this.#next = (id + 1) >>> 0;
    return id;
  }

  // -- Sending in turn --

  #queue(peer: Peer, stream: StreamEnd): void {
    if (stream.isReady || !stream.canSend) return;
    stream.isReady = true;
    peer.ready.push(stream);
  }

  #pumpPeer(peer: Peer): void {
    const { ready } = peer;
    if (peer.isPumping || ready.size === 0) return;
    peer.isPumping = true;
    const most = this.inFlight;
    while (peer.inFlight < most && this.#options.hasRoom(peer.id)) {
      const stream = ready.shift();
      if (stream === undefined) break;
      stream.isReady = false;
      if (!stream.canSend) continue;
      stream.sendNext();
      this.#queue(peer, stream);
    }
    peer.isPumping = false;
  }
}

function keyOf(peer: NodeId, id: number, isOwn: boolean): string {
  return `${peer} ${isOwn ? "own" : "theirs"} ${id}`;
}

/** A signal that aborts, aborts a stream; its reason is why calls reject. */
function abortWith(signal: AbortSignal, stream: StreamEnd): void {
  const abort = (): void =>
    stream.fail("aborted", "its signal aborted", {
      error: signal.reason ?? undefined,
      tell: "aborted",
      text: reasonOf(signal.reason),
    });
  signal.addEventListener("abort", abort);
  const release = (): void => signal.removeEventListener("abort", abort);
  stream.closed.then(release, release);
}
