/**
 * The codec of all systems that carry bytes: the same as that of the project, by the
 * same library.
 *
 * @module
 */

// @ts-ignore -- installed when it is first needed
import { Packr } from "msgpackr/pack";
import type { Item } from "../../payload.ts";
import type { Subscriber } from "./role.ts";

const packr = new Packr({ useRecords: false });

/** Encodes an object, into bytes that nothing else is written to. */
export function encode(item: Item): Uint8Array {
  return packr.pack(item);
}

/** Hands what arrived under a name to the subscriber. */
export function take(
  subscriber: Subscriber,
  kind: string,
  bytes: Uint8Array,
): void {
  if (kind === "object128") subscriber.addItem(packr.unpack(bytes));
  else subscriber.addBytes(bytes);
}
