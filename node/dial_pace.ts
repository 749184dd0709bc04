import type { Clock } from "@devts/routing";
import { Bucket } from "./_bucket.ts";
import { placeOf } from "./address.ts";
import type { MetLimits, NodeLimits } from "./limits.ts";

/** Addresses that are remembered, of each kind. */
const MAX_PLACES = 4_096;

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

  constructor(options: DialPaceOptions) {
    this.#options = options;
  }

  /** A node has answered there. */
  answered(address: string): void {
    remember(this.#answered, `p:${placeOf(address)}`, true);
  }

  /** Whether a dial may go there now. */
  mayDial(address: string): boolean {
    const place = placeOf(address);
    const key = `p:${place}`;
    if (place === "local" || this.#answered.has(key)) return true;
    const { clock, limits, met } = this.#options;
    const known = this.#buckets.get(key);
    const bucket = known ??
      new Bucket(2 * limits.dialsPerAddress, limits.dialsPerAddress);
    remember(this.#buckets, key, bucket);
    if (bucket.take(clock.now())) return true;
    met.dialsPerAddress++;
    return false;
  }
}

/** Adds at the end, and forgets the oldest one too many. */
function remember<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= MAX_PLACES) return;
  for (const [oldest] of map) return void map.delete(oldest);
}
