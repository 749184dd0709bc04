/**
 * Version 1 of the protocol, with proofs: both ends of a connection prove to know the
 * secret of the cluster, to be the node that they say, or both.
 *
 * ```ts
 * import { Keyring } from "@devts/protocol/keyring";
 * import { createSecret } from "@devts/protocol/secret";
 * import { trusted } from "@devts/protocol/trusted";
 * import { assertEquals } from "@std/assert";
 *
 * const protocol = trusted({
 *   keyring: new Keyring(createSecret()),
 *   now: () => Date.now(),
 * });
 * assertEquals(protocol.headerSize, 4);
 * ```
 *
 * The messages are those of `@devts/protocol/v1`, whose maps have more: `keys` are the
 * ids of the secrets that an end knows (8 bytes each), `key` is its Ed25519 public key,
 * `grant` what an authority said of that key, and the last 32 bytes of a hello are its
 * `mac`. What is hashed, signed and proven stands in `_trusted_handshake.ts`.
 *
 * The steps of the handshake are exported too: they do no I/O, for whoever moves the
 * bytes by other means than a channel, and for whoever attacks them.
 *
 * @module
 */
import { follow, random } from "./_follow.ts";
import {
  acceptTrusted,
  dialTrusted,
  SILENCE,
  type Trust,
} from "./_trusted_handshake.ts";
import type { Belief, Identity } from "./identity.ts";
import type { Keyring } from "./keyring.ts";
import { type Channel, type Protocol, ProtocolError } from "./types.ts";
import { v1 } from "./v1.ts";

export {
  acceptTrusted,
  dialTrusted,
  type Trust,
  type TrustedAdmit,
  type TrustedEnd,
  type TrustedReceive,
  type TrustedSide,
  type TrustedStep,
} from "./_trusted_handshake.ts";
export type { Side } from "./_handshake.ts";

/** Options of {@linkcode trusted}: at least one of the first three. */
export interface TrustedOptions {
  /** The secrets of the cluster. */
  readonly keyring?: Keyring;
  /** This node's own key. */
  readonly identity?: Identity;
  /** Whose keys are believed: of members, or where members know a secret, of guests. */
  readonly belief?: Belief;
  /** The time of the day, in ms since 1970: what an authority grants expires. */
  readonly now: () => number;
}

/**
 * Version 1 of the protocol, with proofs. It has no state but what it is given.
 *
 * - With a keyring, members prove to know a secret of it; with an identity and a
 *   belief, also a key that is believed.
 * - With a keyring and a belief but no identity, the belief is about guests, who know
 *   no secret and prove a key.
 * - With an identity alone it is a guest: it believes whoever answers, and relies on
 *   the certificate of its channel.
 *
 * `introduce` rejects with an `AuthenticationError` where a proof is missing or wrong.
 * The other side is told nothing then.
 */
export function trusted(options: TrustedOptions): Protocol {
  const { keyring = null, identity = null, belief = null, now } = options;
  const trust: Trust = { keyring, identity, belief, now };
  return {
    ...v1(),
    introduce: async (channel, options) => {
      const { role, self, expect, carrier = "" } = options;
      const side = { self, expect, random, carrier, trust };
      return role === "dialer"
        ? await follow(await dialTrusted(side), answering(channel), options)
        : await follow(acceptTrusted(side), channel, options);
    },
  };
}

/** A channel to an acceptor, which says nothing to whom it does not believe. */
function answering(channel: Channel): Channel {
  return {
    send: (message) => channel.send(message),
    receive: async (options) => {
      try {
        return await channel.receive(options);
      } catch (cause) {
        throw new ProtocolError(SILENCE, { cause });
      }
    },
  };
}
