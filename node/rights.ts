import type { Rights } from "@devts/protocol";
import {
  type BundleVisitor,
  BundleWriter,
  DELIVERY,
  EVENT,
  FAILURE,
  NO_REQUEST,
  PAYLOAD_EVENTS,
  PAYLOAD_MEMBERSHIP,
  PAYLOAD_STREAMS,
  readBundle,
  RECEIPT,
  REPLY,
  REQUEST,
  SENT_EVENT,
} from "./bundle.ts";
import { type DeliveryId, readDelivery } from "./delivery_wire.ts";
import { PAYLOAD_INTEREST, siftInterest } from "./interest_codec.ts";
import { Pattern } from "./names.ts";
import { FRAME_HEADER, OPEN, readName, readUint32 } from "./stream_wire.ts";

/** Names that nodes use among themselves begin so: no guest has a right to them. */
const OWN = "devts.";
/** A token of a pattern that stands for others. */
const WILDCARD = /(?<=^|\.)[*>](?=\.|$)/;
const NOTHING = new Uint8Array(0);
const NOTHING_DROPPED = {
  ...{ dropped: 0, name: "", requests: [], deliveries: [] },
  stream: null,
};
const encoder = new TextEncoder();

/** What is left of a payload once what is not allowed is taken out. */
export interface Permitted {
  /** Payloads with the rest; the one that came where all of it is allowed. */
  readonly payloads: readonly Uint8Array[];
  /** How much was taken out. */
  readonly dropped: number;
  /** The name of one event that was taken out; empty: it was no event. */
  readonly name: string;
  /** Requests among it, whose senders wait for an answer. */
  readonly requests: readonly number[];
  /** Deliveries among it, whose senders wait for a receipt. */
  readonly deliveries: readonly DeliveryId[];
  /** The conversation that it was to open, whose opener waits; null: none. */
  readonly stream: number | null;
}

/**
 * Takes out of a payload what a guest may not send. What it says of the cluster is for
 * the membership to judge; kinds that are not known here are no right of a guest.
 *
 * @throws {SyntaxError} If it is malformed.
 */
export function fromGuest(
  payload: Uint8Array,
  { emit, handle }: Rights,
): Permitted {
  return payload[0] === PAYLOAD_INTEREST
    ? siftTold(payload, handle)
    : filter(payload, emit);
}

/** What a guest tells that it handles is not believed where it has no right to it. */
function siftTold(payload: Uint8Array, names: readonly string[]): Permitted {
  let dropped = 0;
  let name = "";
  const rest = siftInterest(payload, (told) => {
    if (covers(names, told)) return true;
    // Every node handles some of these.
    if (!told.startsWith(OWN)) {
      dropped++;
      name = told;
    }
    return false;
  });
  return { ...NOTHING_DROPPED, payloads: [rest], dropped, name };
}

/**
 * Takes out of a payload what a guest is not to be sent.
 *
 * @throws {SyntaxError} If it is malformed.
 */
export function forGuest(payload: Uint8Array, { handle }: Rights): Permitted {
  return filter(payload, handle);
}

/** Whether a name is in a list of rights. */
export function isAmong(names: readonly string[], name: string): boolean {
  if (name.startsWith(OWN)) return false;
  return names.some((right) =>
    right.endsWith("*") ? name.startsWith(right.slice(0, -1)) : right === name
  );
}

/** Whether all names that a name or a pattern stands for are in a list of rights. */
function covers(names: readonly string[], told: string): boolean {
  if (Pattern.of(told) === null) return isAmong(names, told);
  const start = told.slice(0, told.search(WILDCARD));
  if (start.startsWith(OWN)) return false;
  return names.some((right) =>
    right.endsWith("*") && start.startsWith(right.slice(0, -1))
  );
}

function filter(payload: Uint8Array, names: readonly string[]): Permitted {
  const nothing = NOTHING_DROPPED;
  const all = { ...nothing, payloads: [payload] };
  const kind = payload[0];
  if (kind === PAYLOAD_MEMBERSHIP || kind === PAYLOAD_INTEREST) return all;
  if (kind === PAYLOAD_STREAMS) {
    // All else is of conversations that were opened, or of none.
    if (payload[1] !== OPEN) return all;
    if (payload.length <= FRAME_HEADER) {
      throw new SyntaxError("It is cut short");
    }
    const name = readName(payload);
    if (isAmong(names, name)) return all;
    const stream = readUint32(payload, 2);
    return { ...nothing, payloads: [], dropped: 1, name, stream };
  }
  if (kind !== PAYLOAD_EVENTS) {
    return { ...nothing, payloads: [], dropped: 1 };
  }
  const check = new Check(payload, names);
  readBundle(payload, check);
  if (check.dropped === 0) return all;
  const rest = new Rest(payload, names);
  readBundle(payload, rest);
  const { dropped, name, requests, deliveries } = check;
  const taken = { payloads: rest.take(), dropped, name };
  return { ...nothing, ...taken, requests, deliveries };
}

/** Counts what is not allowed. */
class Check implements BundleVisitor<string> {
  dropped = 0;
  name = "";
  readonly requests: number[] = [];
  readonly deliveries: DeliveryId[] = [];
  readonly #payload: Uint8Array;
  readonly #names: readonly string[];
  /** Where the extras of the next entry stand. */
  #start = 0;
  #end = 0;

  constructor(payload: Uint8Array, names: readonly string[]) {
    this.#payload = payload;
    this.#names = names;
  }

  resolve(name: string): string {
    return name;
  }

  extras(start: number, end: number): void {
    this.#start = start;
    this.#end = end;
  }

  event(name: string, request: number): void {
    this.#end = this.#start;
    if (isAmong(this.#names, name)) return;
    this.dropped++;
    this.name = name;
    if (request !== NO_REQUEST) this.requests.push(request);
  }

  delivery(name: string, low: number): void {
    const id = readDelivery(this.#payload, this.#start, this.#end, low);
    this.#end = this.#start;
    if (isAmong(this.#names, name)) return;
    this.dropped++;
    this.name = name;
    this.deliveries.push(id);
  }

  reply(): void {
    this.#end = this.#start;
  }

  receipt(): void {
    this.#end = this.#start;
  }
}

/** Packs what is allowed anew. */
class Rest implements BundleVisitor<string> {
  readonly #payload: Uint8Array;
  readonly #names: readonly string[];
  readonly #writer = new BundleWriter({
    name: "bytes",
    encode: () => NOTHING,
    decode: () => NOTHING,
  }, 0);
  readonly #done: Uint8Array[] = [];
  #extras: Uint8Array | null = null;

  constructor(payload: Uint8Array, names: readonly string[]) {
    this.#payload = payload;
    this.#names = names;
  }

  /** The payloads. */
  take(): readonly Uint8Array[] {
    if (this.#writer.count > 0) this.#done.push(this.#writer.take().payload);
    return this.#done;
  }

  resolve(name: string): string {
    return name;
  }

  extras(start: number, end: number): void {
    this.#extras = this.#payload.subarray(start, end);
  }

  event(
    name: string,
    request: number,
    alone: boolean,
    start: number,
    end: number,
  ): void {
    const event = alone ? SENT_EVENT : EVENT;
    const type = request === NO_REQUEST ? event : REQUEST;
    this.#addNamed(type, name, request, start, end);
  }

  delivery(name: string, id: number, start: number, end: number): void {
    this.#addNamed(DELIVERY, name, id, start, end);
  }

  reply(id: number, failed: boolean, start: number, end: number): void {
    const data = this.#data(start, end);
    this.#add(failed ? FAILURE : REPLY, null, id, data);
  }

  receipt(id: number, start: number, end: number): void {
    this.#add(RECEIPT, null, id, this.#data(start, end));
  }

  #addNamed(
    type: number,
    name: string,
    id: number,
    start: number,
    end: number,
  ): void {
    const data = this.#data(start, end);
    if (!isAmong(this.#names, name)) this.#extras = null;
    else this.#add(type, encoder.encode(name), id, data);
  }

  #data(start: number, end: number): Uint8Array | null {
    return start < 0 ? null : this.#payload.subarray(start, end);
  }

  #add(
    type: number,
    name: Uint8Array | null,
    id: number,
    data: Uint8Array | null,
  ): void {
    const extras = this.#extras;
    this.#extras = null;
    const writer = this.#writer;
    if (writer.addBytes(type, name, id, data, extras)) return;
    if (writer.count > 0) {
      this.#done.push(writer.take().payload);
      if (writer.addBytes(type, name, id, data, extras)) return;
    }
    const { payload } = writer.single(type, name, id, data ?? NOTHING, extras);
    this.#done.push(payload);
  }
}
