import type { Address, StallLimits } from "@devts/transport";
import type { Keyring } from "@devts/protocol/keyring";
import { reachOf } from "./address.ts";

/** What protects a node: how it proves itself is the business of its protocol. */
export interface Security {
  /** The schemes whose connections are encrypted. */
  readonly encrypted: readonly string[];
  /** Whether other schemes may be used outside loopback too. */
  readonly plaintext: boolean;
  /**
   * Whether a node dialled without knowing its id is dialled again under its name: where
   * members are told apart by keys, none may stand in for another.
   */
  readonly exact: boolean;
  /** The secrets of the cluster; null: it has none. */
  readonly keyring: Keyring | null;
  /** Believes a node no more; none: no keys are believed here. */
  revoke?(id: string): void;
  /** Calls back for whoever was refused before there was a connection. */
  onRefused?(callback: (reason: unknown) => void): void;
  /** Says what those may take up who stall in the TLS handshake. */
  boundStalls?(limits: StallLimits): void;
}

/** What a node was made with, as far as its safety goes. */
export interface Safety {
  readonly security: Security | null;
  readonly insecure: boolean;
}

/**
 * Why an address must not be listened on, or `null`. Loopback needs nothing; whatever
 * else is not known to be loopback counts as open to everyone.
 */
export function listenFault(address: Address, safety: Safety): string | null {
  if (safety.insecure || reachOf(address) === "local") return null;
  if (safety.security === null) {
    return "it is not a loopback address, and nodes are not authenticated; " +
      "pass `secret` (`deno task secret` prints one) or `identity`, listen on 127.0.0.1, " +
      "or pass `insecure: true` if everyone who can connect may read and send events";
  }
  return plaintextFault(address, safety.security);
}

/** Why an address must not be dialled, or `null`. */
export function dialFault(
  address: Address,
  { security }: Safety,
): string | null {
  if (security === null || reachOf(address) === "local") return null;
  return plaintextFault(address, security);
}

/** What an operator is to know of an address that is listened on, or `null`. */
export function riskOf(address: Address, safety: Safety): string | null {
  if (reachOf(address) === "local") return null;
  if (safety.security === null) {
    return "is open to everyone who can connect: `insecure` is set";
  }
  return plaintextFault(address, { ...safety.security, plaintext: false }) ===
      null
    ? null
    : "is not encrypted: `plaintext` is set, so whoever is on the way can read, " +
      "and take over connections";
}

/** Whether connections to an address are encrypted by what the node proves itself with. */
export function isEncrypted(
  address: Address,
  { encrypted }: Security,
): boolean {
  return encrypted.includes(
    address.slice(0, Math.max(0, address.indexOf(":"))),
  );
}

function plaintextFault(address: Address, security: Security): string | null {
  if (security.plaintext || isEncrypted(address, security)) return null;
  const known = security.encrypted.map((scheme) => `${scheme}://`).join(", ");
  return `it is not encrypted; use one of ${known}, ` +
    "or pass `plaintext: true` if nobody on the way can read or change what passes";
}
