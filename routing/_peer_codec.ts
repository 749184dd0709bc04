import { MalformedError, type Reader, type Writer } from "./_bytes.ts";
import type { NodeId, Peer } from "./types.ts";

const MAX_ID = 64;
const MAX_ADDRESSES = 8;
const MAX_ADDRESS = 256;
const MAX_META = 512;
const PRINTABLE = /^[\x21-\x7e]+$/;

/** No record of a node is longer, in bytes. */
export const MAX_RECORD: number = 2 + MAX_ID + 8 + 1 +
  MAX_ADDRESSES * (2 + MAX_ADDRESS) + 2 +
  MAX_META;

/**
 * Writes what is told of a node: of its addresses those that `mayTell` allows.
 * What is over a limit is left out, since the receiver would refuse it all.
 */
export function writePeer(
  writer: Writer,
  peer: Peer,
  mayTell: (address: string) => boolean,
): void {
  const addresses = peer.addresses
    .filter((address) => isAddress(address) && mayTell(address))
    .slice(0, MAX_ADDRESSES);
  writer.string(peer.id).u53(peer.incarnation).u8(addresses.length);
  for (const address of addresses) writer.string(address);
  const meta = peer.meta;
  if (meta !== undefined && meta.length <= MAX_META) writer.bytes(meta);
  else writer.u16(0);
}

/** Reads the id of a node. */
export function readId(reader: Reader): NodeId {
  const id = reader.string(MAX_ID);
  if (PRINTABLE.test(id)) return id;
  throw new MalformedError("A node id is not printable ASCII");
}

/** Reads what another node tells of a node. */
export function readPeer(reader: Reader): Peer {
  const id = readId(reader);
  return readContent(reader, id, reader.u53());
}

/** The same, where its id and incarnation were read already. */
export function readContent(
  reader: Reader,
  id: NodeId,
  incarnation: number,
): Peer {
  const addresses = readAddresses(reader);
  // A copy: a view would keep the whole message alive as long as the member.
  const meta = reader.bytes(MAX_META).slice();
  return meta.length > 0
    ? { id, incarnation, addresses, meta }
    : { id, incarnation, addresses };
}

/** Passes over what {@linkcode readContent} reads. */
export function skipContent(reader: Reader): void {
  const count = readCount(reader);
  for (let i = 0; i < count; i++) reader.skip(MAX_ADDRESS);
  reader.skip(MAX_META);
}

function readCount(reader: Reader): number {
  const count = reader.u8();
  if (count <= MAX_ADDRESSES) return count;
  throw new MalformedError(`A node has ${count} addresses`);
}

function readAddresses(reader: Reader): string[] {
  const count = readCount(reader);
  const addresses: string[] = [];
  for (let i = 0; i < count; i++) {
    const address = reader.string(MAX_ADDRESS);
    if (!isAddress(address)) {
      throw new MalformedError("An address is not printable ASCII");
    }
    addresses.push(address);
  }
  return addresses;
}

function isAddress(text: string): boolean {
  return text.length <= MAX_ADDRESS && PRINTABLE.test(text);
}

/** Whether two records tell the same of a node, its incarnation aside. */
export function sameContent(a: Peer, b: Peer): boolean {
  return sameItems(a.addresses, b.addresses) &&
    sameItems(a.meta ?? [], b.meta ?? []);
}

function sameItems<T>(a: ArrayLike<T>, b: ArrayLike<T>): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
