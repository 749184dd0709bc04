import type { Address } from "@devts/transport";
import type {
  Clock,
  Membership,
  NodeId,
  Peer,
  WaryMembership,
} from "@devts/routing";
import { reachOf } from "./address.ts";
import {
  ClosedError,
  isEncrypted,
  isForbidden,
  JoinError,
  reasonOf,
} from "./errors.ts";
import type { Journal } from "./journal.ts";
import type { DialResult, Links } from "./links.ts";
import { Seeds } from "./seeds.ts";

// `join` resolves once the members that it learned of have a link or cannot be
// reached, and after this long, in ms, at the latest.
const SETTLE_TIMEOUT = 1_500;
// One entry node that tells what it knows is enough where the others take longer than
// this, in ms: of many, a membership need not ask all.
const PATIENCE = 400;
// Once so many nodes could not be dialled, those that nobody tells of any more are
// forgotten.
const UNREACHABLE = 1_024;

/** What joining needs. */
export interface JoiningOptions {
  readonly cluster: string;
  readonly schemes: readonly string[];
  readonly clock: Clock;
  readonly random: () => number;
  readonly links: Pick<Links, "dial" | "get">;
  readonly journal: Journal;
  /** The members. */
  members(): Iterable<Peer>;
  /** Whom they tell of, and that are no members yet. */
  candidates(): ReadonlyMap<NodeId, Peer>;
  /** Where others can dial this node. */
  addresses(): readonly Address[];
  /** Whether there is a way to a node. */
  reachable(id: NodeId): boolean;
}

/** How a node comes into a cluster, and when it is in. */
export class Joining {
  readonly #options: JoiningOptions;
  readonly #seeds: Seeds;
  /** Nodes that have told what they know of the cluster. */
  readonly #informants = new Set<NodeId>();
  /** Members, and whom they tell of, that could not be dialled. */
  readonly #unreachable = new Set<NodeId>();
  /** How many of them are looked through. */
  #most = UNREACHABLE;
  readonly #checks = new Set<() => void>();
  #closed = false;

  constructor(options: JoiningOptions) {
    const { clock, random, links, journal } = options;
    this.#options = options;
    this.#seeds = new Seeds({
      clock,
      random,
      dial: (address) => links.dial(address),
      linked: (id) => links.get(id) !== undefined,
      answered: (address, result) => {
        if (result.type === "linked") {
          journal.info(`entry node "${address}" answered`);
        }
      },
    });
  }

  /** Dials entry nodes; resolves to how many answered. */
  async join(addresses: readonly Address[]): Promise<number> {
    for (const address of addresses) this.#checkDialable(address);
    const results = await Promise.all(
      addresses.map((address) => this.#seeds.add(address)),
    );
    if (this.#closed) throw new ClosedError("Cannot join: the node was closed");
    this.#refuseMalformed(addresses, results);
    const entries = new Set<NodeId>();
    for (const result of results) {
      if (result.type === "linked") entries.add(result.id);
    }
    if (entries.size === 0) this.#nobodyAnswered(addresses, results);
    else await this.#settle(entries);
    return entries.size;
  }

  async #settle(entries: ReadonlySet<NodeId>): Promise<void> {
    let isPatient = true;
    const cancel = this.#options.clock.after(PATIENCE, () => {
      isPatient = false;
      this.changed();
    });
    await this.#until(() => this.#isSettled(entries, isPatient));
    cancel();
  }

  /** Entry nodes to which no link leads, and what the last dial brought. */
  unanswered(): ReturnType<Seeds["unanswered"]> {
    return this.#seeds.unanswered();
  }

  /** A node told what it knows of the cluster. What comes by others may bear any id. */
  informed(by: NodeId): void {
    if (this.#options.links.get(by)) this.#informants.add(by);
    this.changed();
  }

  /** A node cannot be dialled. */
  unreachable(id: NodeId): void {
    this.#unreachable.add(id);
    if (this.#unreachable.size > this.#most) this.#forgetUnknown();
    this.changed();
  }

  /** How many nodes it remembers that could not be dialled. */
  get size(): number {
    return this.#unreachable.size;
  }

  /** A link came up. */
  linked(id: NodeId): void {
    this.#unreachable.delete(id);
    this.changed();
  }

  /** A link ended, or a member is gone. */
  lost(id: NodeId): void {
    this.#unreachable.delete(id);
    if (!this.#options.links.get(id)) this.#informants.delete(id);
    this.changed();
  }

  /** Something changed that a `join` may wait for. */
  changed(): void {
    for (const check of this.#checks) check();
  }

  /** Dials no more, and lets go whoever waits. */
  close(): void {
    this.#closed = true;
    this.#seeds.close();
    this.changed();
  }

  /** Members may tell of ever other nodes that do not exist. */
  #forgetUnknown(): void {
    const { members, candidates } = this.#options;
    const known = new Set(candidates().keys());
    for (const { id } of members()) known.add(id);
    for (const id of this.#unreachable) {
      if (!known.has(id)) this.#unreachable.delete(id);
    }
    this.#most = Math.max(UNREACHABLE, 2 * this.#unreachable.size);
  }

  #checkDialable(address: Address): void {
    reachOf(address);
    const { schemes } = this.#options;
    if (schemes.includes(address.slice(0, address.indexOf(":")))) return;
    const known = schemes.map((scheme) => `"${scheme}://"`).join(", ");
    throw new TypeError(
      `Cannot join "${address}": the transport of this node knows ${known}`,
    );
  }

  /** Only the transport knows which addresses make sense to it. */
  #refuseMalformed(
    addresses: readonly Address[],
    results: readonly DialResult[],
  ): void {
    for (const result of results) {
      if (result.type !== "failed" || !(result.error instanceof TypeError)) {
        continue;
      }
      for (const address of addresses) this.#seeds.remove(address);
      throw result.error;
    }
  }

  #nobodyAnswered(
    addresses: readonly Address[],
    results: readonly DialResult[],
  ): void {
    for (const [index, result] of results.entries()) {
      const why = finalReason(result);
      if (why === null) continue;
      for (const address of addresses) this.#seeds.remove(address);
      const address = addresses[index];
      const reason = why.replace(`Cannot connect to "${address}": `, "");
      const message = `Cannot join "${address}": ${reason}`;
      // A refusal is logged where it is heard.
      if (result.type === "failed") this.#options.journal.warn(message);
      throw new JoinError(message);
    }
    if (addresses.length === 0) return;
    const tried = results.map((result, index) =>
      result.type === "failed"
        ? reasonOf(result.error)
        : `"${addresses[index]}" is ${
          result.type === "self" ? "this node" : "not taking links"
        }`
    );
    this.#options.journal.warn(
      `no entry node answered, so it starts as the first of cluster "${this.#options.cluster}" ` +
        `and goes on trying: ${tried.join("; ")}`,
    );
  }

  #isSettled(entries: ReadonlySet<NodeId>, isPatient: boolean): boolean {
    const linked = [...entries].filter((id) => this.#options.links.get(id));
    const informed = linked.filter((id) => this.#informants.has(id));
    const isEnough = informed.length === linked.length ||
      !isPatient && informed.length > 0;
    if (!isEnough) return false;
    const { members, candidates } = this.#options;
    for (const peer of members()) if (!this.#isTried(peer)) return false;
    for (const peer of candidates().values()) {
      if (!this.#isTried(peer)) return false;
    }
    return true;
  }

  #isTried({ id, addresses }: Peer): boolean {
    const { reachable } = this.#options;
    const canLink = addresses.length > 0 ||
      this.#options.addresses().length > 0;
    return !canLink || reachable(id) || this.#unreachable.has(id);
  }

  async #until(condition: () => boolean): Promise<void> {
    if (condition()) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const check = (): void => {
      if (this.#closed || condition()) resolve();
    };
    const cancel = this.#options.clock.after(SETTLE_TIMEOUT, resolve);
    this.#checks.add(check);
    await promise;
    cancel();
    this.#checks.delete(check);
  }
}

const NOBODY: ReadonlyMap<NodeId, Peer> = new Map();

/** Whom the members of a cluster tell of, and that are no members yet. */
export function candidatesOf(
  membership: Membership & Partial<WaryMembership>,
): ReadonlyMap<NodeId, Peer> {
  return membership.candidates ?? NOBODY;
}

/** Why another attempt will not change how a dial ended, or `null`. */
function finalReason(result: DialResult): string | null {
  if (result.type === "refused" && isFinal(result.refusal.code)) {
    return fromHere(result.refusal.detail);
  }
  if (result.type !== "failed") return null;
  const { error } = result;
  if (isEncrypted(error)) return ENCRYPTED;
  return isUnproven(error) || isForbidden(error) ? reasonOf(error) : null;
}

/** A refusal reads the same at both ends: here, the dialer is this node. */
function fromHere(detail: string): string {
  return detail.replace("the dialer", "this node")
    .replace("the acceptor's", "its").replace("the acceptor", "it");
}

const ENCRYPTED =
  "it encrypts, and this node does not; create this node with " +
  "the `secret` of its cluster or with an `identity`, and without `plaintext`";

/** Whether the other end has not proven what it must. */
function isUnproven(error: unknown): boolean {
  return error instanceof Error &&
    (error.name === "AuthenticationError" || isUnproven(error.cause));
}

/** Refusals that another attempt will not change. */
function isFinal(code: string): boolean {
  return code === "cluster" || code === "version" || code === "format" ||
    code === "conflict";
}
