/**
 * Turns values into bytes and back.
 *
 * @typeParam T The values it carries.
 */
export interface Codec<T = unknown> {
  /**
   * The name of the wire format, not of the implementation: two codecs that
   * understand each other share it (`"msgpack"`). The handshake compares it.
   */
  readonly name: string;
  /**
   * Encodes a value.
   *
   * @returns Bytes that belong to the caller: nobody reuses the buffer.
   * @throws {TypeError} If the value cannot be carried; the message names the path to it.
   */
  encode(value: T): Uint8Array;
  /**
   * Decodes a value. Byte fields of the result may be views of `bytes`.
   *
   * @throws {SyntaxError} If the bytes are malformed or exceed the codec's limits.
   */
  decode(bytes: Uint8Array): T;
}

/** Optional, for codecs that work in place inside a bundle. */
export interface BufferCodec<T = unknown> extends Codec<T> {
  /**
   * Encodes into `target` from `offset` on.
   *
   * @returns Where it ended, or -1 when it does not fit; then `target` from
   * `offset` on is undefined.
   * @throws {TypeError} As {@linkcode Codec.encode}.
   */
  encodeInto(value: T, target: Uint8Array, offset: number): number;
  /**
   * Decodes what stands in `source` from `start` to `end`.
   *
   * @throws {SyntaxError} As {@linkcode Codec.decode}.
   */
  decodeAt(source: Uint8Array, start: number, end: number): T;
}

/**
 * Optional beside a {@linkcode BufferCodec}: one that tells whether what it decodes
 * shares memory with its source. Whoever decodes then uses a buffer again where it
 * does not.
 */
export interface ViewCount {
  /** How many byte fields of all values decoded so far are views of their source. */
  readonly views: number;
}

/** What a protocol needs of a connection to introduce two nodes over it. */
export interface Channel {
  /** Queues a message. */
  send(message: Uint8Array): Promise<void>;
  /** The next message, of at most `limit` bytes, or `null` at the end. */
  receive(options?: { readonly limit?: number }): Promise<Uint8Array | null>;
}

/** What a node says of itself in the handshake. */
export interface Introduction {
  /** The cluster it belongs to: 1 to 64 printable characters. A name, not a secret. */
  readonly cluster: string;
  /** Its id: 1 to 64 printable ASCII characters. */
  readonly id: string;
  /** Its incarnation, a safe integer from 0 on. */
  readonly incarnation: number;
  /** The name of its codec's wire format: 1 to 64 printable characters. */
  readonly format: string;
  /** Where it can be dialled: at most 8 URLs of 1 to 256 printable ASCII characters. */
  readonly addresses: readonly string[];
  /** Its own metadata, at most 512 bytes. */
  readonly meta: Uint8Array;
  /** The longest message that it accepts after the handshake: 4 KiB to 1 GiB, in bytes. */
  readonly maxMessage: number;
  /** A digest of what its events are: 1 to 64 printable ASCII characters. None: it tells none. */
  readonly contract?: string;
}

/** Why a connection was refused in the handshake. */
export type RefusalCode =
  /** No version of the protocol in common. */
  | "version"
  /** It belongs to another cluster. */
  | "cluster"
  /** Its data has another wire format. */
  | "format"
  /** The node has dialled itself. */
  | "self"
  /** There is a link between the two already, or another dial won. */
  | "duplicate"
  /** A later incarnation of the same id is known; `incarnation` says which. */
  | "stale"
  /** A later incarnation of the same id is alive: two programs share an id. */
  | "conflict"
  /** Not the node that was dialled. */
  | "unexpected"
  /** No place for another link, or the node is closing. */
  | "busy";

/** A refusal, said by one side and heard by the other. */
export interface Refusal {
  /** What kind it is. */
  readonly code: RefusalCode;
  /** A sentence for the log: what this side is and what the other was. */
  readonly detail: string;
  /** For `stale`: the incarnation known. */
  readonly incarnation?: number;
}

/** What a guest may do: a node that is no full member. */
export interface Rights {
  /**
   * The names of the events that it may emit, send and request; one that ends in `*`
   * stands for all that begin so.
   */
  readonly emit: readonly string[];
  /** The names of the events that it may be sent, in the same form. */
  readonly handle: readonly string[];
}

/** What a peer has proven in the handshake. */
export interface Proven {
  /** The id of the secret that both know; none: it proved none. */
  readonly keyId?: string;
  /** The public key that it proved to own; none: it proved none. */
  readonly key?: Uint8Array;
  /** What it may do; none: everything, it is a member. */
  readonly rights?: Rights;
}

/** How a handshake ended: with a peer, or with a refusal by one of the two. */
export type Introduced =
  | {
    readonly peer: Introduction;
    readonly version: number;
    /** None where the protocol proves nothing. */
    readonly proven?: Proven;
  }
  | { readonly refusal: Refusal; readonly by: "us" | "them" };

/** Options of {@linkcode Protocol.introduce}. */
export interface IntroduceOptions {
  /** Who opened the connection. */
  readonly role: "dialer" | "acceptor";
  /** What this node says of itself. Read when it is sent. */
  readonly self: () => Introduction;
  /** The node that was dialled, where its id was known. Of no use to an acceptor. */
  readonly expect?: string;
  /**
   * What carries the connection, in a word on which both ends agree: `"tcp"`,
   * `"tls"`. Protocols that prove something bind it into the proof.
   *
   * @default {`""`}
   */
  readonly carrier?: string;
  /**
   * Called once, with what the other said, at the last moment at which this side
   * can refuse: the dialer before its third message, the acceptor before its
   * fourth. Nothing else has been promised yet, and no data flows before. It may
   * wait (for this node's own dial to the same peer).
   */
  readonly admit: (
    peer: Introduction,
    proven?: Proven,
  ) => Refusal | null | Promise<Refusal | null>;
}

/** What a frame after the handshake carries. */
export type FrameKind =
  /** A packet of the router, in the data lane. */
  | "data"
  /** A packet of the router, in the control lane. */
  | "control"
  /** The sender dropped events for this link; the body says how many. */
  | "gap"
  /** The sender closes the link; the body says why. */
  | "goodbye"
  /** The sender takes what it is sent. No body; whoever does not know it skips it. */
  | "progress"
  /** The sender asks for a sign of life. No body; whoever does not know it skips it. */
  | "echo"
  /** The sender gives the sign of life that it was asked for. No body. */
  | "echoed";

/**
 * What the bytes of a message mean, and how two nodes introduce themselves.
 *
 * A frame is one message of a connection: a header of {@linkcode headerSize}
 * bytes, then the body.
 */
export interface Protocol {
  /** Bytes of a frame's header. */
  readonly headerSize: number;
  /** Writes the header of a frame at the start of `target`, whose body follows. */
  writeHeader(kind: FrameKind, target: Uint8Array): void;
  /**
   * Tells what a frame is; its body is what follows the header. `null`: of a kind
   * that this version does not know and may ignore.
   *
   * @throws {ProtocolError} If it is no frame, or of a kind that cannot be ignored or
   * is out of place after the handshake.
   */
  readHeader(message: Uint8Array): FrameKind | null;
  /**
   * Introduces this node to the one at the other end, and the other way around.
   * Sends a refusal where this side refuses. Time is the caller's business: it
   * closes the channel when the other side takes too long.
   *
   * @throws {ProtocolError} If the other side does not keep to the protocol, or the
   * connection ends early.
   * @throws {RangeError} If what this node says of itself, or expects, is out of range.
   */
  introduce(channel: Channel, options: IntroduceOptions): Promise<Introduced>;
  /** The whole frame that tells how many events were dropped: a safe integer. */
  gap(dropped: number): Uint8Array;
  /**
   * Reads the body of a `gap`.
   *
   * @throws {ProtocolError} If it is malformed.
   */
  readGap(message: Uint8Array): number;
  /** The whole frame that says why a link is closed: at most 200 characters are kept. */
  goodbye(reason: string): Uint8Array;
  /** Reads the body of a `goodbye`; never throws, cuts what is too long. */
  readGoodbye(message: Uint8Array): string;
}

/** The other side broke the protocol, or its bytes make no sense. */
export class ProtocolError extends Error {
  /** Makes the error; `message` is a sentence. */
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "ProtocolError";
  }
}

/** The other side has not proven what it must. It is told nothing; this is for the log. */
export class AuthenticationError extends ProtocolError {
  /** Makes the error; `message` says what is missing. */
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "AuthenticationError";
  }
}
