/**
 * The handshake that proves both ends: four messages, of which each proof covers all
 * that was said before it.
 *
 * ```text
 * th0 = H("devts-handshake/1\0" · sized(cluster) · sized(carrier))
 * D→A  m1  nonceD, key, ids of secrets, expected id, introduction, mac1
 * A→D  m2  version, nonceA, key, id of a secret, introduction, sigA, macA
 *      th1 = H(th0 · m1 · m2 up to its proofs)    both proofs are of th1, as "acceptor"
 * D→A  m3  sigD, macD                    th2 = H(th1 · m2), as "dialer"
 * A→D  m4  sig, mac                      th3 = H(th2 · m3), as "finish"
 * ```
 *
 * `H` is SHA-256. `mac1` is the HMAC of all of m1 before it, by a key of the secret in
 * use: it stands last, so that strangers are dropped before anything is parsed or
 * verified. A `mac` is an HMAC by a key derived (HKDF) from the secret with the
 * transcript as salt and the role in its label; a `sig` is an Ed25519 signature of the
 * role and the transcript. Both nonces are in every proof from m2 on, so nothing can
 * be replayed; the roles differ, so nothing can be reflected; versions, cluster and
 * carrier are in the transcript, so nothing can be talked down.
 *
 * Whoever proves nothing is told nothing: where a proof fails, the step rejects, and
 * nothing is sent.
 */
import {
  type Bytes,
  concat,
  HASH_SIZE,
  isSignature,
  sha256,
  sized,
  utf8,
} from "./_crypto.ts";
import {
  disagreement,
  expected,
  noCommonVersion,
  type Side,
  VERSIONS,
} from "./_handshake.ts";
import { checked, isId } from "./_introduction.ts";
import {
  type Claims,
  type Hello,
  MAC_SIZE,
  NONCE_SIZE,
  type Proofs,
  readClaimingHello,
  readProofs,
  readProvingWelcome,
  readVersions,
  withProofs,
  writeFinish,
  writeHello,
  writeProof,
  writeUnprovenWelcome,
} from "./_messages.ts";
import { readRefusal, writeRefusal } from "./_refusal.ts";
import { type Belief, type Identity, nodeIdOf, sign } from "./identity.ts";
import type { Keyring, SecretKey } from "./keyring.ts";
import {
  AuthenticationError,
  type Introduced,
  type Introduction,
  ProtocolError,
  type Proven,
  type Refusal,
} from "./types.ts";

/** What it means for a dialer that the acceptor closes without a word. */
export const SILENCE =
  "the acceptor said nothing and closed: it has another secret or none, " +
  "does not believe this node's key, or belongs to another cluster";

/** What one end brings to a handshake that proves both. */
export interface TrustedSide extends Side {
  /** What carries the connection, in a word on which both ends agree. */
  readonly carrier: string;
  /** What it knows, is and believes. */
  readonly trust: Trust;
}

/** What a node knows, is and believes. */
export interface Trust {
  /** The secrets of the cluster: whoever knows none is a guest, or is refused. */
  readonly keyring: Keyring | null;
  /** Its own key. */
  readonly identity: Identity | null;
  /** Whose keys it believes. */
  readonly belief: Belief | null;
  /** The time of the day, in ms since 1970: what authorities grant expires. */
  readonly now: () => number;
}

/** What to do next. */
export type TrustedStep = TrustedReceive | TrustedAdmit | TrustedEnd;

/** Send, if there is something to send; then receive, and go on with that. */
export interface TrustedReceive {
  /** What to do. */
  readonly type: "receive";
  /** The message to send first. */
  readonly send?: Uint8Array;
  /**
   * Rejects with a `ProtocolError` if the message is out of place (`null`: the end), and
   * with an {@linkcode AuthenticationError} if it does not prove what it must.
   */
  readonly next: (message: Uint8Array | null) => Promise<TrustedStep>;
}

/** Decide whether to refuse the peer, and go on with that. */
export interface TrustedAdmit {
  /** What to do. */
  readonly type: "admit";
  /** What the peer said of itself. */
  readonly peer: Introduction;
  /** What it has proven. */
  readonly proven: Proven;
  /** Goes on with the decision; `null`: it is not refused. */
  readonly next: (refusal: Refusal | null) => Promise<TrustedStep>;
}

/** Send, if there is something to send; the handshake is over. */
export interface TrustedEnd {
  /** What to do. */
  readonly type: "end";
  /** The message to send. */
  readonly send?: Uint8Array;
  /** How it ended. */
  readonly introduced: Introduced;
}

/** An end of the handshake: it proves, in its part, what it knows and is. */
type Role = "acceptor" | "dialer" | "finish";

/** Starts the handshake of the side that opened the connection. */
export async function dialTrusted(side: TrustedSide): Promise<TrustedStep> {
  const self = checked(side.self());
  const { expect = "", trust } = side;
  if (expect !== "" && !isId(expect)) {
    throw new RangeError(
      "Cannot introduce this node: the id that it expects must be 1 to 64 printable ASCII characters",
    );
  }
  const keys = await trust.keyring?.secretKeys() ?? [];
  const hello = { nonce: side.random(NONCE_SIZE), expect, introduction: self };
  const m1 = writeHello(hello, VERSIONS, {
    ...claimsOf(trust),
    keyIds: keys.map(({ id }) => id),
  });
  const [inUse] = keys;
  if (inUse !== undefined) {
    const end = m1.length - MAC_SIZE;
    m1.set(await inUse.first(m1.subarray(0, end)), end);
  }
  return {
    type: "receive",
    send: m1,
    next: (message) => onWelcome({ side, self, expect, m1 }, message),
  };
}

/** Starts the handshake of the side that accepted the connection. */
export function acceptTrusted(side: TrustedSide): TrustedStep {
  return { type: "receive", next: (message) => onHello(side, message) };
}

/** What the acceptor knows of a dialer that has not proven anything but mac1 yet. */
interface Met {
  readonly side: TrustedSide;
  readonly hello: Hello;
  readonly claims: Claims;
  /** The secret that both know. */
  readonly secret: SecretKey | null;
  /** Whether its hello showed that it knows one. */
  readonly isKnown: boolean;
  readonly proven: Proven;
}

async function onHello(
  side: TrustedSide,
  message: Uint8Array | null,
): Promise<TrustedStep> {
  const { bytes: m1 } = expected(["hello"], message);
  const shown = await shownSecret(side.trust, m1);
  const offered = readVersions(m1);
  const version = Math.min(offered.max, VERSIONS.max);
  if (version < Math.max(offered.min, VERSIONS.min)) {
    return refuse(noCommonVersion(offered), shown !== null);
  }
  const { hello, claims } = readClaimingHello(m1);
  const { introduction: peer } = hello;
  const self = checked(side.self());
  const refusal = disagreement(peer, self, hello.expect);
  // Whoever dials itself hears so from its own other end, and says so to itself.
  if (refusal !== null && (shown !== null || refusal.code !== "self")) {
    return refuse(refusal, shown !== null);
  }
  const secret = await chosenSecret(side.trust, claims, shown);
  const proven = await judged(side, "dialer", peer, claims, secret);
  const isKnown = shown !== null;
  const met = { side, hello, claims, secret, isKnown, proven };
  return await welcome(met, version, m1);
}

async function welcome(
  met: Met,
  version: number,
  m1: Uint8Array,
): Promise<TrustedStep> {
  const { side, secret } = met;
  const { trust } = side;
  const self = checked(side.self());
  const nonce = side.random(NONCE_SIZE);
  const unproven = writeUnprovenWelcome(
    { version, nonce, introduction: self },
    { ...claimsOf(trust), keyIds: secret === null ? [] : [secret.id] },
  );
  const th1 = await sha256(await firstHash(side, self), m1, unproven);
  const m2 = withProofs(
    unproven,
    await prove("acceptor", th1, trust.identity, secret),
  );
  const th2 = await sha256(th1, m2);
  return {
    type: "receive",
    send: m2,
    next: (message) => onProof(met, version, th2, message),
  };
}

async function onProof(
  { side, hello, claims, secret, isKnown, proven }: Met,
  version: number,
  th2: Bytes,
  message: Uint8Array | null,
): Promise<TrustedStep> {
  const { name, bytes: m3 } = expected(["proof", "refusal"], message);
  if (name === "refusal") return refused(m3, isKnown);
  await check("dialer", th2, claims, secret, readProofs("proof", m3));
  const peer = hello.introduction;
  return {
    type: "admit",
    peer,
    proven,
    next: async (refusal) => {
      if (refusal !== null) return refuse(refusal, true);
      const th3 = await sha256(th2, m3);
      const { identity } = side.trust;
      return {
        type: "end",
        send: writeFinish(await prove("finish", th3, identity, secret)),
        introduced: { peer, version, proven },
      };
    },
  };
}

/** What the dialer has said. */
interface Said {
  readonly side: TrustedSide;
  readonly self: Introduction;
  readonly expect: string;
  readonly m1: Uint8Array;
}

async function onWelcome(
  said: Said,
  message: Uint8Array | null,
): Promise<TrustedStep> {
  const { side, self, expect, m1 } = said;
  if (message === null) throw unanswered();
  const { name, bytes: m2 } = expected(["welcome", "refusal"], message);
  if (name === "refusal") return refused(m2, false);
  const { welcome, claims, proofs, unproven } = readProvingWelcome(
    m2,
    VERSIONS,
  );
  const { introduction: peer, version } = welcome;
  const secret = await chosenSecret(side.trust, claims, null);
  const proven = await judged(side, "acceptor", peer, claims, secret);
  const th1 = await sha256(await firstHash(side, self), m1, unproven);
  await check("acceptor", th1, claims, secret, proofs);
  const refusal = disagreement(self, peer, expect);
  if (refusal !== null) return refuse(refusal, true);
  const th2 = await sha256(th1, m2);
  return {
    type: "admit",
    peer,
    proven,
    next: async (refusal) => {
      if (refusal !== null) return refuse(refusal, true);
      const { identity } = side.trust;
      const m3 = writeProof(await prove("dialer", th2, identity, secret));
      const th3 = await sha256(th2, m3);
      return {
        type: "receive",
        send: m3,
        next: (message) =>
          onFinish({ peer, version, proven }, claims, secret, th3, message),
      };
    },
  };
}

async function onFinish(
  introduced: Extract<Introduced, { peer: Introduction }>,
  claims: Claims,
  secret: SecretKey | null,
  th3: Bytes,
  message: Uint8Array | null,
): Promise<TrustedStep> {
  if (message === null) throw unanswered();
  const { name, bytes: m4 } = expected(["finish", "refusal"], message);
  if (name === "refusal") return refused(m4, true);
  await check("finish", th3, claims, secret, readProofs("finish", m4));
  return { type: "end", introduced };
}

/** The secret by which the first message was made; null: it shows none. */
async function shownSecret(
  { keyring, belief }: Trust,
  m1: Uint8Array,
): Promise<SecretKey | null> {
  if (keyring === null) return null;
  const end = m1.length - MAC_SIZE;
  if (end > 0) {
    const code = m1.subarray(end);
    const before = m1.subarray(0, end);
    for (const key of await keyring.secretKeys()) {
      if (await key.isFirst(code, before)) return key;
    }
  }
  // Guests know no secret. Where there can be none, nothing is looked at further.
  if (belief !== null) return null;
  throw new AuthenticationError(
    "the dialer knows no secret of this node's cluster: it has none, or another one",
  );
}

/** The secret to prove with: the one of this node in use, where the peer knows it. */
async function chosenSecret(
  { keyring }: Trust,
  { keyIds }: Claims,
  shown: SecretKey | null,
): Promise<SecretKey | null> {
  const known = new Set(keyIds.map((id) => id.join()));
  const keys = await keyring?.secretKeys() ?? [];
  return keys.find(({ id }) => known.has(id.join())) ?? shown;
}

/** Whether what a peer claims is enough, once proven, and what it may do then. */
async function judged(
  side: TrustedSide,
  role: "acceptor" | "dialer",
  peer: Introduction,
  claims: Claims,
  secret: SecretKey | null,
): Promise<Proven> {
  const { key, grant } = claims;
  const { identity } = side.trust;
  const fail = (fault: string): AuthenticationError =>
    new AuthenticationError(`the ${role} ("${peer.id}") is refused: ${fault}`);
  if (key.length > 0 && peer.id !== await nodeIdOf(key)) {
    throw fail("its id is not that of its key");
  }
  const byKey = {
    ...(secret === null ? {} : { keyId: secret.name }),
    ...(key.length === 0 ? {} : { key }),
  };
  // Where nodes have no keys of their own, the secret is all that a member needs.
  if (secret !== null && identity === null) return byKey;
  const fault = missing(side.trust, role, claims, secret);
  if (fault !== null) throw fail(fault);
  if (isSame(key, identity?.key) || side.trust.belief === null) return byKey;
  const verdict = await side.trust.belief.judge({
    key,
    grant,
    cluster: peer.cluster,
    now: side.trust.now(),
  });
  if ("fault" in verdict) throw fail(verdict.fault);
  const { rights } = verdict;
  if (rights !== null) return { ...byKey, rights };
  if (secret === null && side.trust.keyring !== null) {
    throw fail("its key is that of a member, but it does not know the secret");
  }
  return byKey;
}

/** What a peer would have to claim beyond what it does. */
function missing(
  { keyring, belief }: Trust,
  role: "acceptor" | "dialer",
  { key, keyIds }: Claims,
  secret: SecretKey | null,
): string | null {
  if (belief !== null) {
    return key.length > 0 ? null : "it has no key of its own";
  }
  if (secret !== null) return null;
  if (keyring !== null) return "it knows no secret of this node's cluster";
  if (keyIds.length > 0) return "it wants a secret, and this node has none";
  // A guest believes whom the certificate of its channel vouches for.
  return role === "acceptor" ? null : "this node believes no keys";
}

function claimsOf({ identity }: Trust): Omit<Claims, "keyIds"> {
  const none = new Uint8Array(0);
  return { key: identity?.key ?? none, grant: identity?.grant ?? none };
}

function firstHash(
  { carrier }: TrustedSide,
  { cluster }: Introduction,
): Promise<Bytes> {
  return sha256(
    utf8("devts-handshake/1\0"),
    sized(utf8(cluster)),
    sized(utf8(carrier)),
  );
}

async function prove(
  role: Role,
  transcript: Bytes,
  identity: Identity | null,
  secret: SecretKey | null,
): Promise<Proofs> {
  const none = new Uint8Array(0);
  return {
    sig: identity === null
      ? none
      : await sign(identity, purpose(role), transcript),
    mac: secret === null ? none : await secret.prove(role, transcript),
  };
}

/** Rejects unless a peer has proven all that it claims. */
async function check(
  role: Role,
  transcript: Bytes,
  { key }: Claims,
  secret: SecretKey | null,
  { sig, mac }: Proofs,
): Promise<void> {
  const holdsSecret = secret === null
    ? mac.length === 0
    : mac.length === HASH_SIZE && await secret.isProof(role, transcript, mac);
  const holdsKey = key.length === 0
    ? sig.length === 0
    : await isSignature(key, sig, concat(utf8(purpose(role)), transcript));
  if (holdsSecret && holdsKey) return;
  const what = holdsSecret ? "the key that it claims" : "the secret";
  const who = role === "dialer" ? "dialer" : "acceptor";
  throw new AuthenticationError(`the ${who} has not proven to hold ${what}`);
}

function isSame(key: Uint8Array, other: Uint8Array | undefined): boolean {
  return key.length > 0 && key.join() === other?.join();
}

function purpose(role: Role): string {
  return `devts/1 ${role}\0`;
}

/** Refuses; a stranger is not told why. */
function refuse(refusal: Refusal, isKnown: boolean): TrustedEnd {
  if (!isKnown) throw new AuthenticationError(refusal.detail);
  return {
    type: "end",
    send: writeRefusal(refusal),
    introduced: { refusal, by: "us" },
  };
}

/** Was refused; by a stranger, nothing follows from that but the end. */
function refused(message: Uint8Array, isKnown: boolean): TrustedEnd {
  const { code, detail, ...more } = readRefusal(message);
  const refusal = { code, detail, ...(isKnown ? more : {}) };
  return { type: "end", introduced: { refusal, by: "them" } };
}

function unanswered(): ProtocolError {
  return new ProtocolError(`Cannot finish the handshake: ${SILENCE}`);
}
