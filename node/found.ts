import type { Address } from "@devts/transport";
import type { NodeId, Peer } from "@devts/routing";
import { remember } from "./_remember.ts";
import { placeOf } from "./address.ts";

/** Nodes that are remembered; the one that was found longest ago is forgotten. */
const MAX_NODES = 4_096;
/** Addresses of one that are remembered. */
const MAX_ADDRESSES = 8;

/** What it takes to look where a node is. */
export interface FoundOptions {
  /** The other end of the link to a node; null: there is none. */
  remote(id: NodeId): Address | null;
  /** Dials an address; whether the node of that id answers there. */
  answers(address: Address, id: NodeId): Promise<boolean>;
  /** Those of a node's addresses that are dialled at all. */
  dialable(addresses: readonly Address[]): readonly Address[];
}

/**
 * Where nodes were found. What a node says of itself may be wrong, or meant to have the
 * whole cluster dial somebody else, so that others are told only of addresses on the host
 * that it has a link from, and of those at which it was dialled and answered. It is
 * dialled once for that where it says something else.
 */
export class Found {
  readonly #options: FoundOptions;
  // Prefixed: others choose ids.
  readonly #nodes = new Map<string, Set<Address>>();
  /** What is to be looked at next, for those that are looked for. */
  readonly #looking = new Map<string, Peer | null>();

  constructor(options: FoundOptions) {
    this.#options = options;
  }

  /** A node has answered at an address. */
  note(id: NodeId, address: Address): void {
    const key = `n:${id}`;
    const found = this.#nodes.get(key) ?? new Set();
    if (found.size < MAX_ADDRESSES) found.add(address);
    remember(this.#nodes, key, found, MAX_NODES);
  }

  /** Whether a node is at an address, for all that this one can know. */
  has(id: NodeId, address: Address): boolean {
    if (this.#nodes.get(`n:${id}`)?.has(address)) return true;
    const remote = this.#options.remote(id);
    const place = placeOf(remote ?? "");
    return place !== "" && place === placeOf(address);
  }

  /** Looks for a node that there is a link to where it says that it is. */
  async look(peer: Peer): Promise<void> {
    const key = `n:${peer.id}`;
    if (this.#looking.has(key)) return void this.#looking.set(key, peer);
    for (let next: Peer | null = peer; next !== null;) {
      this.#looking.set(key, null);
      await this.#lookOnce(next);
      next = this.#looking.get(key) ?? null;
    }
    this.#looking.delete(key);
  }

  async #lookOnce({ id, addresses }: Peer): Promise<void> {
    const { remote, answers, dialable } = this.#options;
    for (const address of dialable(addresses)) {
      if (remote(id) === null) return;
      if (this.has(id, address) || await answers(address, id)) {
        this.note(id, address);
      }
    }
  }
}
