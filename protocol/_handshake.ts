import {
  describe,
  FRAME,
  type FrameName,
  HEADER_SIZE,
  headerFault,
} from "./_frames.ts";
import { checked, isId } from "./_introduction.ts";
import {
  MESSAGE_LIMIT,
  NONCE_SIZE,
  readFinish,
  readHello,
  readProof,
  readVersions,
  readWelcome,
  type Versions,
  writeFinish,
  writeHello,
  writeProof,
  writeWelcome,
} from "./_messages.ts";
import { readRefusal, writeRefusal } from "./_refusal.ts";
import {
  type Introduced,
  type Introduction,
  ProtocolError,
  type Refusal,
} from "./types.ts";

/** The versions that this file speaks. */
export const VERSIONS: Versions = { min: 1, max: 1 };

/** What one end of a handshake brings. */
export interface Side {
  /** What it says of itself. */
  readonly self: () => Introduction;
  /** The node that it dialled, where the id was known. */
  readonly expect?: string | undefined;
  /** Random bytes that nobody can guess. */
  readonly random: (length: number) => Uint8Array;
}

/**
 * What to do next in a handshake, which does no I/O and keeps no state but this:
 * each step holds the function that makes the one after it.
 */
export type Step = Receive | Admit | End;

/** Send, if there is something to send; then receive, and go on with that. */
export interface Receive {
  readonly type: "receive";
  readonly send?: Uint8Array;
  /** @throws {ProtocolError} If the message (`null`: the end) is out of place. */
  readonly next: (message: Uint8Array | null) => Step;
}

/** Decide whether to refuse the peer, and go on with that. */
export interface Admit {
  readonly type: "admit";
  readonly peer: Introduction;
  readonly next: (refusal: Refusal | null) => Step;
}

/** Send, if there is something to send; the handshake is over. */
export interface End {
  readonly type: "end";
  readonly send?: Uint8Array;
  readonly introduced: Introduced;
}

/** Starts the handshake of the side that opened the connection. */
export function dial(side: Side): Step {
  const self = checked(side.self());
  const expect = side.expect ?? "";
  if (side.expect !== undefined && !isId(side.expect)) {
    throw new RangeError(
      "Cannot introduce this node: the id that it expects must be 1 to 64 printable ASCII characters",
    );
  }
  const hello = { nonce: side.random(NONCE_SIZE), expect, introduction: self };
  return {
    type: "receive",
    send: writeHello(hello, VERSIONS),
    next: (message) => onWelcome(self, expect, message),
  };
}

/** Starts the handshake of the side that accepted the connection. */
export function accept(side: Side): Step {
  return { type: "receive", next: (message) => onHello(side, message) };
}

function onHello(side: Side, message: Uint8Array | null): Step {
  const { bytes } = expected(["hello"], message);
  const offered = readVersions(bytes);
  const version = Math.min(offered.max, VERSIONS.max);
  if (version < Math.max(offered.min, VERSIONS.min)) {
    return refuse(noCommonVersion(offered));
  }
  const { introduction: peer, expect } = readHello(bytes);
  const self = checked(side.self());
  const refusal = disagreement(peer, self, expect);
  if (refusal !== null) return refuse(refusal);
  const nonce = side.random(NONCE_SIZE);
  return {
    type: "receive",
    send: writeWelcome({ version, nonce, introduction: self }),
    next: (message) => onProof(peer, version, message),
  };
}

function onWelcome(
  self: Introduction,
  expect: string,
  message: Uint8Array | null,
): Step {
  const { name, bytes } = expected(["welcome", "refusal"], message);
  if (name === "refusal") return refused(bytes);
  const { introduction: peer, version } = readWelcome(bytes, VERSIONS);
  const refusal = disagreement(self, peer, expect);
  if (refusal !== null) return refuse(refusal);
  return admit(peer, () => ({
    type: "receive",
    send: writeProof(),
    next: (message) => onFinish(peer, version, message),
  }));
}

function onProof(
  peer: Introduction,
  version: number,
  message: Uint8Array | null,
): Step {
  const { name, bytes } = expected(["proof", "refusal"], message);
  if (name === "refusal") return refused(bytes);
  readProof(bytes);
  return admit(peer, () => ({
    type: "end",
    send: writeFinish(),
    introduced: { peer, version },
  }));
}

function onFinish(
  peer: Introduction,
  version: number,
  message: Uint8Array | null,
): Step {
  const { name, bytes } = expected(["finish", "refusal"], message);
  if (name === "refusal") return refused(bytes);
  readFinish(bytes);
  return { type: "end", introduced: { peer, version } };
}

function admit(peer: Introduction, admitted: () => Step): Step {
  return {
    type: "admit",
    peer,
    next: (refusal) => refusal === null ? admitted() : refuse(refusal),
  };
}

function refuse(refusal: Refusal): Step {
  return {
    type: "end",
    send: writeRefusal(refusal),
    introduced: { refusal, by: "us" },
  };
}

function refused(message: Uint8Array): Step {
  const refusal = readRefusal(message);
  return { type: "end", introduced: { refusal, by: "them" } };
}

/**
 * Why these two must not be linked, or `null`. Both sides ask this, and say the
 * same: the sentences name the two by their part, so that they hold on either side.
 */
export function disagreement(
  dialer: Introduction,
  acceptor: Introduction,
  expect: string,
): Refusal | null {
  if (dialer.cluster !== acceptor.cluster) {
    return {
      code: "cluster",
      detail:
        `the dialer belongs to cluster "${dialer.cluster}", the acceptor to cluster "${acceptor.cluster}"`,
    };
  }
  if (dialer.format !== acceptor.format) {
    return {
      code: "format",
      detail:
        `the dialer's data has the format "${dialer.format}", the acceptor's "${acceptor.format}"`,
    };
  }
  if (dialer.id === acceptor.id) return sameId(dialer, acceptor);
  if (expect !== "" && expect !== acceptor.id) {
    return {
      code: "unexpected",
      detail:
        `node "${expect}" was dialled, but node "${acceptor.id}" answered`,
    };
  }
  return null;
}

function sameId(dialer: Introduction, acceptor: Introduction): Refusal {
  if (dialer.incarnation === acceptor.incarnation) {
    return { code: "self", detail: `node "${dialer.id}" has dialled itself` };
  }
  return {
    code: "conflict",
    detail:
      `two programs share the id "${dialer.id}": the dialer's incarnation is ${dialer.incarnation}, the acceptor's ${acceptor.incarnation}`,
  };
}

/** Why two have no version in common. */
export function noCommonVersion(offered: Versions): Refusal {
  return {
    code: "version",
    detail:
      `the dialer speaks versions ${offered.min} to ${offered.max}, the acceptor ${VERSIONS.min} to ${VERSIONS.max}`,
  };
}

/** Which of the frames that may come here did come; throws if none did. */
export function expected<Name extends FrameName>(
  names: readonly Name[],
  message: Uint8Array | null,
): { name: Name; bytes: Uint8Array } {
  if (message === null) throw surprise(names, "the connection ended");
  if (message.length > MESSAGE_LIMIT) {
    throw surprise(
      names,
      `a message of ${message.length} bytes came, over the limit of ${MESSAGE_LIMIT}`,
    );
  }
  const name = names.find((name) => FRAME[name] === message[0]);
  if (name === undefined || message.length < HEADER_SIZE) {
    throw surprise(names, `${describe(message)} came`);
  }
  const fault = headerFault(message);
  if (fault === null) return { name, bytes: message };
  throw surprise(names, `${describe(message)} came that ${fault}`);
}

function surprise(names: readonly FrameName[], what: string): ProtocolError {
  return new ProtocolError(
    `Cannot finish the handshake: expected a ${
      names.join(" or a ")
    }, but ${what}`,
  );
}
