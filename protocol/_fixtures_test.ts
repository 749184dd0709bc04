import { encode, type ValueType } from "@std/msgpack";
import type { Admit, End, Receive, Side, Step } from "./_handshake.ts";
import type { Introduction } from "./types.ts";

/** An introduction that is in range. */
export function introduction(
  changes: Partial<Introduction> = {},
): Introduction {
  return {
    cluster: "demo",
    id: "a",
    incarnation: 1,
    format: "msgpack",
    addresses: ["tcp://10.0.0.7:7946"],
    meta: new Uint8Array([1, 2, 3]),
    maxMessage: 65536,
    ...changes,
  };
}

/** One end of a handshake whose nonce is one byte, repeated. */
export function side(
  changes: Partial<Introduction> = {},
  options: { readonly expect?: string; readonly nonce?: number } = {},
): Side {
  return {
    self: () => introduction(changes),
    expect: options.expect,
    random: (length) => new Uint8Array(length).fill(options.nonce ?? 0xaa),
  };
}

/** The fields of a hello or of a welcome that are in range. */
export function fields(): { [key: string]: ValueType } {
  return {
    nonce: new Uint8Array(32).fill(0xaa),
    key: new Uint8Array(),
    expect: "",
    keys: [],
    cluster: "demo",
    id: "a",
    inc: 1,
    format: "msgpack",
    addresses: ["tcp://10.0.0.7:7946"],
    meta: new Uint8Array([1, 2, 3]),
    max: 65536,
  };
}

/** A hello with any range of versions and any body. */
export function hello(
  body: ValueType,
  versions: readonly [number, number] = [1, 1],
): Uint8Array {
  const prefix = [0x01, 0, 0, 0, 0x44, 0x56, 0x54, 0x53, ...versions];
  return concat(prefix, encode(body));
}

/** A welcome with any version and any bodies. */
export function welcome(
  body: ValueType,
  proof: ValueType = { sig: new Uint8Array(), mac: new Uint8Array() },
  version = 1,
): Uint8Array {
  const said = encode(body);
  const prefix = [0x02, 0, 0, 0, version, said.length >> 8, said.length & 0xff];
  return concat(prefix, said, encode(proof));
}

/** One array of bytes after the other. */
export function concat(...parts: readonly ArrayLike<number>[]): Uint8Array {
  return new Uint8Array(parts.flatMap((part) => Array.from(part)));
}

/** The step, if it waits for a message. */
export function receiving(step: Step): Receive {
  if (step.type === "receive") return step;
  throw new TypeError(`The handshake does not receive here: ${step.type}`);
}

/** The step, if it asks whether to admit the peer. */
export function admitting(step: Step): Admit {
  if (step.type === "admit") return step;
  throw new TypeError(`The handshake does not ask here: ${step.type}`);
}

/** The step, if the handshake has ended. */
export function ended(step: Step): End {
  if (step.type === "end") return step;
  throw new TypeError(`The handshake has not ended here: ${step.type}`);
}

/** What a step sends. */
export function sent(step: Receive | End): Uint8Array {
  if (step.send !== undefined) return step.send;
  throw new TypeError("The handshake sends nothing here");
}

/** Pseudo-random numbers, 0 ≤ x < 1, always the same (mulberry32, Tommy Ettinger). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = state + 0x6d2b79f5 | 0;
    let mixed = Math.imul(state ^ state >>> 15, 1 | state);
    mixed = mixed + Math.imul(mixed ^ mixed >>> 7, 61 | mixed) ^ mixed;
    return ((mixed ^ mixed >>> 14) >>> 0) / 2 ** 32;
  };
}
