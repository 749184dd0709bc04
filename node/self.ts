import type { Address } from "@devts/transport";
import type { Codec, Introduction } from "@devts/protocol";
import type { Peer } from "@devts/routing";
import { reachOf, reachOfRemote } from "./address.ts";
import type { Incarnations } from "./types.ts";

const MAX_META = 512;
const MAX_ADDRESSES = 8;
// Control characters, invisible formatting, line separators and broken characters
// would let a name pass for another in a log.
const PRINTABLE = /^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\uFFFD]+$/u;
/** What an id is made of. */
const ID = "printable ASCII characters other than spaces";
const NOTHING = new Uint8Array(0);

/** What the description of a node is made of. */
export interface SelfOptions {
  readonly cluster: string;
  readonly id: string;
  readonly incarnations: Incarnations;
  readonly codec: Codec;
  readonly advertise: readonly Address[];
  readonly maxMessage: number;
  readonly meta: unknown;
  /** The digest of its contract; none: it has none. */
  readonly contract?: string | undefined;
}

/** What a node tells others of itself. */
export class Self {
  readonly #options: SelfOptions;
  #meta: Uint8Array;
  #bound: readonly Address[] = [];
  #peer: Peer;

  /**
   * @throws {TypeError} If a name is malformed, an address cannot be told, or the
   * metadata cannot be encoded.
   * @throws {RangeError} If the metadata is too long.
   */
  constructor(options: SelfOptions) {
    checkName("cluster", options.cluster, PRINTABLE, "printable characters");
    checkName("id", options.id, /^[\x21-\x7e]+$/, ID);
    checkAdvertised(options.advertise);
    this.#options = options;
    this.#meta = this.#encode(options.meta);
    this.#peer = this.#describe(options.incarnations.first);
  }

  /** As others know it; another object after each change. */
  get peer(): Peer {
    return this.#peer;
  }

  /** What it says to the other end of a connection: local addresses only to local ends. */
  introduction(remote: Address): Introduction {
    const { cluster, id, codec, maxMessage, contract } = this.#options;
    const local = reachOfRemote(remote) === "local";
    const { incarnation, addresses } = this.#peer;
    return {
      cluster,
      id,
      incarnation,
      format: codec.name,
      addresses: addresses.filter((address) =>
        local || reachOfRemote(address) === "network"
      ),
      meta: this.#meta,
      maxMessage,
      ...(contract !== undefined && { contract }),
    };
  }

  /**
   * Takes other metadata.
   *
   * @throws {TypeError} If it cannot be encoded.
   * @throws {RangeError} If it is too long.
   */
  setMeta(meta: unknown): void {
    this.#meta = this.#encode(meta);
    this.#change();
  }

  /** Takes the addresses listened on; true if what is told changes. */
  setBound(addresses: readonly Address[]): boolean {
    this.#bound = addresses;
    if (this.#told().join() === this.#peer.addresses.join()) return false;
    this.#change();
    return true;
  }

  /**
   * Elsewhere it is known under a higher incarnation, of a past start or forged:
   * continues above that; true if it could.
   */
  outrank(known: number): boolean {
    const { incarnation } = this.#peer;
    if (!Number.isSafeInteger(known) || known <= incarnation) return false;
    const next = this.#above(incarnation, known);
    if (next === null || !Number.isSafeInteger(next) || next <= known) {
      return false;
    }
    this.#peer = this.#describe(next);
    return true;
  }

  /** Whether two incarnations of a node are of one start: then they are counted up. */
  isOneStart(one: number, other: number): boolean {
    const [low, high] = one < other ? [one, other] : [other, one];
    if (low === high) return true;
    const { next } = this.#options.incarnations;
    return this.#above(low, high) === next(high);
  }

  /** Where to continue; null: what others know can be no start of this node. */
  #above(incarnation: number, known: number): number | null {
    try {
      return this.#options.incarnations.above(incarnation, known);
    } catch {
      return null;
    }
  }

  #change(): void {
    this.#peer = this.#describe(
      this.#options.incarnations.next(this.#peer.incarnation),
    );
  }

  #describe(incarnation: number): Peer {
    const meta = this.#meta.length > 0 ? { meta: this.#meta } : {};
    return {
      id: this.#options.id,
      incarnation,
      addresses: this.#told(),
      ...meta,
    };
  }

  /** Addresses that others can use: never a wildcard. */
  #told(): readonly Address[] {
    const { advertise } = this.#options;
    if (advertise.length > 0) return advertise;
    return this.#bound
      .filter((address) => reachOf(address) !== "wildcard")
      .slice(0, MAX_ADDRESSES);
  }

  #encode(meta: unknown): Uint8Array {
    if (meta === undefined) return NOTHING;
    const { codec, id } = this.#options;
    const bytes = codec.encode(meta);
    if (bytes.length <= MAX_META) return bytes;
    throw new RangeError(
      `Cannot use the metadata of node "${id}": it takes ${bytes.length} bytes, and at most ${MAX_META} are told`,
    );
  }
}

function checkName(
  what: string,
  name: string,
  form: RegExp,
  needed: string,
): void {
  if (typeof name === "string" && name.length <= 64 && form.test(name)) return;
  throw new TypeError(
    `Cannot create a node with the ${what} ${
      JSON.stringify(name)
    }: 1 to 64 ${needed} are needed`,
  );
}

function checkAdvertised(addresses: readonly Address[]): void {
  if (addresses.length > MAX_ADDRESSES) {
    throw new RangeError(
      `Cannot advertise ${addresses.length} addresses: at most ${MAX_ADDRESSES} are told`,
    );
  }
  for (const address of addresses) {
    if (!/^[\x21-\x7e]{1,256}$/.test(address)) {
      throw new TypeError(
        `Cannot advertise "${address}": 1 to 256 printable ASCII characters can be told`,
      );
    }
    if (reachOf(address) === "wildcard") {
      throw new TypeError(
        `Cannot advertise "${address}": others cannot dial every interface; name one`,
      );
    }
  }
}
