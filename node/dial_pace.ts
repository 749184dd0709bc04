import type { Clock } from "@devts/routing";
import { Bucket } from "./_bucket.ts";
import { remember } from "./_remember.ts";
import { placeOf } from "./address.ts";
import type { MetLimits, NodeLimits } from "./limits.ts";

/** Addresses that are remembered, of each kind. */
const MAX_PLACES = 4_096;
/** One in so many of the dials at a time may go to one place from which no node has answered. */
const PLACE_PART = 4;

/** What the pace is kept with. */
export interface DialPaceOptions {
  readonly clock: Clock;
  readonly limits: Required<NodeLimits>;
  readonly met: MetLimits;
}

/**
 * How often an address is dialled that others told of: whoever is believed about members
 * must not turn a whole cluster on a machine that has no node.
 */
export class DialPace {
  readonly #options: DialPaceOptions;
  // Keys are prefixed: others choose them.
  readonly #buckets = new Map<string, Bucket>();
  readonly #answered = new Map<string, true>();
  /** Dials under way, by the place they go to; none where there is no entry. */
  readonly #underWay = new Map<string, number>();

  constructor(options: DialPaceOptions) {
    this.#options = options;
  }

  /** A node has answered there. */
  answered(address: string): void {
    const key = `p:${placeOf(address)}`;
    remember(this.#answered, key, true, MAX_PLACES);
  }

  /**
   * Whether a dial may go there now. Where nobody answers, a dial takes long: those must
   * not take all turns from others.
   */
  mayDial(address: string): boolean {
    const key = `p:${placeOf(address)}`;
    if (this.#isExempt(key)) return true;
    const { clock, limits, met } = this.#options;
    const most = Math.max(1, Math.floor(limits.dials / PLACE_PART));
    if ((this.#underWay.get(key) ?? 0) >= most) {
      met.dialsPerAddress++;
      return false;
    }
    const known = this.#buckets.get(key);
    const bucket = known ??
      new Bucket(2 * limits.dialsPerAddress, limits.dialsPerAddress);
    remember(this.#buckets, key, bucket, MAX_PLACES);
    if (bucket.take(clock.now())) return true;
    met.dialsPerAddress++;
    return false;
  }

  /** A dial goes there; call what it returns once it is over. */
  start(address: string): () => void {
    const key = `p:${placeOf(address)}`;
    this.#underWay.set(key, (this.#underWay.get(key) ?? 0) + 1);
    return () => {
      const left = (this.#underWay.get(key) ?? 1) - 1;
      if (left > 0) this.#underWay.set(key, left);
      else this.#underWay.delete(key);
    };
  }

  #isExempt(key: string): boolean {
    return key === "p:local" || this.#answered.has(key);
  }
}
