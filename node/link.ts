import type {
  ArrivingConnection,
  Connection,
  InPlaceConnection,
  ReceiveOptions,
} from "@devts/transport";
import type { FrameKind, Protocol, Proven } from "@devts/protocol";
import type { Clock, Lane, LinkState, Peer } from "@devts/routing";
import { Fifo } from "./_fifo.ts";
import { isTooLong, reasonOf } from "./errors.ts";
import { Frame } from "./frame.ts";
import type { MetLimits, NodeLimits } from "./limits.ts";
import type { SlowLinkPolicy } from "./types.ts";

/** A link that makes no progress for this long, in ms, is slow. */
const SLOW_AFTER = 1_000;
/** How often that is looked at, in ms. A look that comes late was held up here: it counts once. */
const LOOK = 250;
/**
 * While data comes, its sender is told that it is taken, this often, in ms: its kernel
 * tells only once a third of a buffer of some MiB is free, which may take a busy
 * receiver longer than a second.
 */
const TELL_PROGRESS = 200;
/** A peer that sends data all the while has so many times as long. */
const BUSY_PATIENCE = 4;
/** A message from this length on is data worth to be told of, in bytes. */
const DATA_FROM = 512;
/** A link that makes no progress for this long, in ms, is closed. */
const CLOSE_AFTER = 10_000;
/** What is read of a link, in bytes, before all others have their turn. */
const TURN = 262_144;
/** How long a link may be read, if data comes, before that, in ms. */
const TURN_TIME = 10;
/** What a message counts for there beside its bytes. */
const MESSAGE_COST = 64;
// Closing politely may take this long, in ms; a node has 5 s for all of it.
const FAREWELL_TIMEOUT = 2_000;

/** Bounds of what is queued, in bytes. */
export interface QueueLimits {
  /** Above this, senders wait. */
  readonly highWaterMark: number;
  /** Above this, events are dropped. */
  readonly outbox: number;
}

/** Bounds of a link. */
export type LinkLimits =
  & QueueLimits
  & Pick<
    Required<NodeLimits>,
    | "maxMessage"
    | "frameTime"
    | "frameRate"
    | "outboxFrames"
    | "controlOutbox"
    | "outboxTotal"
  >;

/** What a link tells the program that owns it. */
export interface LinkOwner {
  /**
   * A message arrived. A promise pauses reading until it settles. Where it is lent,
   * its bytes change with the next one, unless {@linkcode Link.kept} is called.
   *
   * @throws Whatever is wrong with the message: it ends the link.
   */
  received(
    link: Link,
    message: Uint8Array,
    lent: boolean,
  ): Promise<void> | undefined;
  /** Whether senders should wait for the link has changed. */
  congestion(link: Link): void;
  /** It stopped to take what is sent, or takes it again. */
  slow(link: Link, slow: boolean): void;
  /** A message was too long for the transport, and is lost. */
  oversized(link: Link, error: RangeError): void;
  /** It is over; `error` is what broke it, null where one of the two wanted it. */
  ended(link: Link, reason: string, error: unknown): void;
}

/**
 * One authenticated connection to one peer.
 *
 * - Two lanes: everything in the control lane leaves before anything in the data lane.
 * - From the high-water mark on it is congested until half of that is left, and
 *   senders who wait, wait for it as long as it makes progress. Above the outbox limit,
 *   or after a second without progress, its policy decides: new events for it are
 *   dropped and counted, and once it has room again, a `gap` stands where they are
 *   missing; or senders go on waiting; or it ends. After ten seconds without progress it
 *   ends in any case.
 */
export class Link {
  /** The node at the other end. */
  readonly peer: Peer;
  /** The longest message that it accepts. */
  readonly maxMessage: number;
  /** When it came up, on the node's clock. */
  readonly since: number;
  /** What carries it. */
  readonly connection: Connection;
  /** What the peer has proven. */
  readonly proven: Proven;
  /** The digest of the peer's contract; null: it told none. */
  readonly contract: string | null;
  readonly #owner: LinkOwner;
  readonly #protocol: Protocol;
  readonly #clock: Clock;
  readonly #limits: LinkLimits;
  readonly #met: MetLimits;
  readonly #slowLink: SlowLinkPolicy;
  /** Bytes queued for all links. */
  readonly #queued: { bytes: number };
  readonly #receiving: ReceiveOptions;
  readonly #inPlace: InPlaceConnection | null;
  /** Whether to borrow the next message: the last one left nothing behind. */
  #borrows = true;
  readonly #control = new Fifo<Frame>();
  readonly #data = new Fifo<Frame>();
  readonly #done = Promise.withResolvers<void>();
  #controlBytes = 0;
  #dataBytes = 0;
  #pumping = false;
  /** How long there was no progress, in ms, by the looks at it. */
  #idle = 0;
  /** Whether there was progress, and whether data came, since the last look. */
  #moved = false;
  #heard = false;
  /** When the peer was told that data is taken. */
  #toldAt = -Infinity;
  #congested = false;
  #slow = false;
  #dropping = false;
  #dropped = 0;
  #ended = false;
  #closing = false;
  #farewell: string | null = null;
  /** The message that was arriving at the last look, and for how long, in ms. */
  #arriving = -1;
  #arrivingFor = 0;
  #room: PromiseWithResolvers<void> | null = null;
  #cancelWatch: (() => void) | null = null;
  /** Whether the peer has given the sign of life that it was asked for. */
  #answer: PromiseWithResolvers<boolean> | null = null;

  constructor(
    owner: LinkOwner,
    options: {
      readonly peer: Peer;
      readonly connection: Connection;
      readonly maxMessage: number;
      readonly proven?: Proven;
      readonly contract?: string | null;
      readonly protocol: Protocol;
      readonly clock: Clock;
      readonly limits: LinkLimits;
      readonly met: MetLimits;
      readonly slowLink: SlowLinkPolicy;
      readonly queued: { bytes: number };
    },
  ) {
    this.peer = options.peer;
    this.connection = options.connection;
    this.proven = options.proven ?? {};
    this.contract = options.contract ?? null;
    this.#inPlace = isInPlace(options.connection) ? options.connection : null;
    this.maxMessage = options.maxMessage;
    this.since = options.clock.now();
    this.#owner = owner;
    this.#protocol = options.protocol;
    this.#clock = options.clock;
    this.#limits = options.limits;
    this.#met = options.met;
    this.#slowLink = options.slowLink;
    this.#queued = options.queued;
    this.#receiving = { limit: options.limits.maxMessage };
  }

  /** Resolves once it is over. */
  get done(): Promise<void> {
    return this.#done.promise;
  }

  /** Whether a sender who can wait should: it is behind, but makes progress. */
  get congested(): boolean {
    return this.#congested && !this.#dropping;
  }

  /** Whether events for it are being dropped. */
  get dropping(): boolean {
    return this.#dropping;
  }

  /** Whether it takes anything. */
  get open(): boolean {
    return !this.#ended && !this.#closing;
  }

  /** How it does, for a person. */
  get state(): LinkState {
    if (!this.open) return "closing";
    if (this.#dropping) return "dropping";
    if (this.#slow) return "slow";
    return this.#congested ? "congested" : "open";
  }

  /** Bytes queued and not yet taken by the connection. */
  get queued(): number {
    return this.#controlBytes + this.#dataBytes;
  }

  /** Starts to read. Separate from the constructor, so that the owner knows the link first. */
  start(): void {
    this.#read();
  }

  /**
   * Queues a frame. False: it was dropped, with the `events` in it.
   */
  send(frame: Frame, lane: Lane, events: number): boolean {
    if (!this.open) return false;
    if (lane === "control") return this.#sendControl(frame);
    if (this.#dropping || this.#isOver(frame.length)) return this.#drop(events);
    frame.slab?.retain();
    this.#queueData(frame);
    this.#pump();
    return true;
  }

  /**
   * Tells whether somebody may keep views of the message that arrived last. One that
   * was lent is then not written over; the next is copied out at once, which costs
   * less than giving the read buffer away.
   */
  kept(views: boolean): void {
    if (views) this.#inPlace?.keep();
    this.#borrows = !views;
  }

  /** Resolves once senders need not wait for it any more. */
  room(): Promise<void> {
    this.#room ??= Promise.withResolvers<void>();
    return this.#room.promise;
  }

  /** The peer said that it takes what it is sent. */
  progressed(): void {
    this.#moved = true;
  }

  /** Resolves to whether the peer gives a sign of life within so many ms. */
  answers(within: number): Promise<boolean> {
    if (!this.open) return Promise.resolve(false);
    if (this.#answer !== null) return this.#answer.promise;
    const answer = Promise.withResolvers<boolean>();
    this.#answer = answer;
    this.#await(answer.promise, within);
    this.#say("echo");
    return answer.promise;
  }

  /** A timer that comes late was held up here, and so may be the answer: it has the same again. */
  #await(answer: Promise<boolean>, within: number): void {
    const dueAt = this.#clock.now() + within;
    const cancel = this.#clock.after(within, () => {
      const isLate = this.#clock.now() - dueAt > within / 2;
      if (isLate) this.#await(answer, within);
      else this.#answered(false);
    });
    answer.then(cancel);
  }

  /** The peer asks for a sign of life. */
  echo(): void {
    this.#say("echoed");
  }

  /** The peer gave a sign of life. */
  echoed(): void {
    this.#answered(true);
  }

  /** The peer said why it is about to close. */
  farewell(reason: string): void {
    this.#farewell = reason;
  }

  /** Says goodbye after what is queued, then ends. Resolves once it is over. */
  close(reason: string): Promise<void> {
    if (this.#ended || this.#closing) return this.done;
    this.#closing = true;
    if (this.#dropped > 0) this.#queueGap(this.#dropped);
    this.#dropped = 0;
    this.#queueData(Frame.of(this.#protocol.goodbye(reason)));
    const cancel = this.#clock.after(
      FAREWELL_TIMEOUT,
      () =>
        this.end(
          `${reason}; the other end took too long to take what was left`,
        ),
    );
    this.done.then(cancel);
    this.#pump();
    return this.done;
  }

  /** Ends at once; what is queued is lost. */
  end(reason: string, error: unknown = null): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#cancelWatch?.();
    this.#answered(false);
    this.#control.clear();
    this.#data.clear();
    this.#queued.bytes -= this.#dataBytes;
    this.#controlBytes = 0;
    this.#dataBytes = 0;
    this.#congested = false;
    this.#changed();
    // Never rejects, by the contract of a connection; not ours to trust.
    this.connection.close(error instanceof Error ? error : new Error(reason))
      .catch(() => {});
    this.#done.resolve();
    this.#owner.ended(this, reason, error);
  }

  /** A single message is taken, however long: something must be in flight to make room. */
  #isOver(length: number): boolean {
    const bytes = this.#dataBytes;
    if (bytes === 0) return false;
    const { highWaterMark, outbox, outboxFrames, outboxTotal } = this.#limits;
    if (bytes + length > outbox) this.#met.outbox++;
    else if (this.#data.size >= outboxFrames) this.#met.outboxFrames++;
    else if (bytes < highWaterMark) return false;
    else if (this.#queued.bytes + length > outboxTotal) this.#met.outboxTotal++;
    else return false;
    return true;
  }

  #drop(events: number): false {
    this.#dropped += events;
    if (this.#slowLink === "close") {
      this.#break("more is queued for it than may be");
      return false;
    }
    this.#dropping = true;
    this.#changed();
    return false;
  }

  /** It broke, and this node says why. */
  #break(reason: string): void {
    this.end(reason, new Error(reason));
  }

  #sendControl(frame: Frame): boolean {
    if (this.#controlBytes + frame.length > this.#limits.controlOutbox) {
      this.#met.controlOutbox++;
      return false;
    }
    this.#control.push(frame);
    this.#controlBytes += frame.length;
    this.#pump();
    return true;
  }

  #queueGap(dropped: number): void {
    this.#queueData(Frame.of(this.#protocol.gap(dropped)));
  }

  #queueData(frame: Frame): void {
    this.#data.push(frame);
    this.#dataBytes += frame.length;
    this.#queued.bytes += frame.length;
    if (!this.#congested && this.#dataBytes >= this.#limits.highWaterMark) {
      this.#congested = true;
      this.#met.highWaterMark++;
      this.#changed();
    }
  }

  async #pump(): Promise<void> {
    if (this.#pumping) return;
    this.#pumping = true;
    this.#moved = true;
    try {
      for (;;) {
        const control = this.#control.shift();
        const frame = control ?? this.#data.shift();
        if (frame === undefined) break;
        await this.#hand(frame);
        if (this.#ended) return;
        this.#sent(frame.length, control !== undefined);
      }
      if (this.#closing) await this.#finish();
    } catch (error) {
      this.end(reasonOf(error), error);
    } finally {
      this.#pumping = false;
    }
  }

  /** A message too long for the transport is lost; the connection stays usable. */
  async #hand(frame: Frame): Promise<void> {
    try {
      const inPlace = this.#inPlace;
      const framed = inPlace && frame.framed(inPlace.framing);
      await (framed
        ? inPlace.sendFrame(framed, frame.slab?.release)
        : this.connection.send(frame.message));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.#owner.oversized(this, error);
    }
  }

  async #finish(): Promise<void> {
    await this.connection.close();
    this.end("this node closed the link");
  }

  #sent(bytes: number, control: boolean): void {
    this.#moved = true;
    if (control) this.#controlBytes -= bytes;
    else {
      this.#dataBytes -= bytes;
      this.#queued.bytes -= bytes;
    }
    if (this.#slow) {
      this.#slow = false;
      this.#owner.slow(this, false);
    }
    // Well below, so that whoever waited fills a bundle before it waits again.
    if (this.#dataBytes > this.#limits.highWaterMark / 2) return;
    if (this.#dropping) this.#resume();
    if (!this.#congested) return;
    this.#congested = false;
    this.#changed();
  }

  /** There is room again: tells the peer what it missed, at the place where it is missing. */
  #resume(): void {
    this.#dropping = false;
    const dropped = this.#dropped;
    this.#dropped = 0;
    if (dropped > 0 && !this.#closing) this.#queueGap(dropped);
    this.#changed();
  }

  #changed(): void {
    if (!this.congested && this.#room) {
      this.#room.resolve();
      this.#room = null;
    }
    if (!this.#ended && (this.#congested || this.#dropping)) this.#watch();
    this.#owner.congestion(this);
  }

  /** Begins to look at its progress. */
  #watch(): void {
    if (this.#cancelWatch || this.#ended) return;
    this.#idle = 0;
    this.#lookLater();
  }

  #lookLater(): void {
    this.#moved = this.#heard = false;
    this.#cancelWatch = this.#clock.after(LOOK, () => {
      this.#cancelWatch = null;
      if (this.#congested || this.#dropping) this.#look();
    });
  }

  #look(): void {
    // What a busy peer says of its progress stands behind its data.
    const passed = this.#heard ? LOOK / BUSY_PATIENCE : LOOK;
    this.#idle = this.#moved ? 0 : this.#idle + passed;
    if (this.#idle >= CLOSE_AFTER) {
      return this.#break(`it took nothing for ${CLOSE_AFTER / 1000} s`);
    }
    this.#lookLater();
    if (this.#idle < SLOW_AFTER || this.#slow) return;
    this.#slow = true;
    this.#owner.slow(this, true);
    if (this.#slowLink === "wait") return;
    if (this.#slowLink === "close") {
      return this.#break(`it took nothing for ${SLOW_AFTER / 1000} s`);
    }
    this.#dropping = true;
    this.#changed();
  }

  /**
   * Looks whether the message that is arriving gets on. Called every so many ms; a call
   * that comes late was held up here and counts once.
   */
  look(every: number): void {
    const arriving = isArriving(this.connection) && this.connection.arriving;
    if (!arriving || arriving.message !== this.#arriving) {
      this.#arriving = arriving ? arriving.message : -1;
      this.#arrivingFor = 0;
      return;
    }
    this.#arrivingFor += every;
    const { frameTime, frameRate } = this.#limits;
    if (this.#arrivingFor >= frameTime) {
      this.#met.frameTime++;
      return this.#break(
        `a message took longer than ${frameTime / 1000} s to arrive`,
      );
    }
    const due = frameRate * this.#arrivingFor / 1000;
    if (this.#arrivingFor < frameTime / 2 || arriving.bytes >= due) return;
    this.#met.frameRate++;
    this.#break(
      `a message arrived at less than ${frameRate} bytes per second`,
    );
  }

  #noteData(now: number): void {
    this.#heard = true;
    if (now - this.#toldAt < TELL_PROGRESS || !this.open) return;
    this.#toldAt = now;
    this.#say("progress");
  }

  /** Sends a frame without a body, in the control lane. */
  #say(kind: FrameKind): void {
    if (!this.open) return;
    const message = new Uint8Array(this.#protocol.headerSize);
    this.#protocol.writeHeader(kind, message);
    this.#sendControl(Frame.of(message));
  }

  #answered(isThere: boolean): void {
    this.#answer?.resolve(isThere);
    this.#answer = null;
  }

  #nextTurn(): Promise<void> {
    return new Promise((resolve) => this.#clock.soon(resolve));
  }

  async #read(): Promise<void> {
    const inPlace = this.#inPlace;
    let taken = 0;
    // When the turn ends by the clock, which only data is worth to be looked at for.
    let until = Infinity;
    try {
      while (!this.#ended) {
        const lent = inPlace !== null && this.#borrows;
        const message = await (lent
          ? inPlace.borrow(this.#receiving)
          : this.connection.receive(this.#receiving));
        if (message === null) {
          // What is queued still leaves, then the link ends.
          if (this.#closing) {
            return;
          }
          return this.end(
            this.#farewell ?? "the other end closed the connection",
          );
        }
        if (this.#ended) {
          return;
        }
        const isData = message.length >= DATA_FROM;
        if (isData && until === Infinity) {
          until = this.#clock.now() + TURN_TIME;
        }
        const pause = this.#owner.received(this, message, lent);
        if (pause) {
          await pause;
        }
        let isOver = false;
        if (isData) {
          const now = this.#clock.now();
          isOver = now >= until;
          this.#noteData(now);
        }
        taken += message.length + MESSAGE_COST;
        if (taken < TURN && !isOver) {
          continue;
        }
        taken = 0;
        until = Infinity;
        // Reads that find something settle without a turn of the event loop.
        await this.#nextTurn();
      }
    } catch (error) {
      if (isTooLong(error)) this.#met.maxMessage++;
      this.end(this.#farewell ?? reasonOf(error), error);
    }
  }
}

function isArriving(
  connection: Connection,
): connection is Connection & ArrivingConnection {
  return "arriving" in connection;
}

function isInPlace(connection: Connection): connection is InPlaceConnection {
  return "framing" in connection && "sendFrame" in connection &&
    "borrow" in connection && "keep" in connection;
}
