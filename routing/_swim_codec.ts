import { MalformedError, Reader, Writer } from "./_bytes.ts";
import { readContent, readId, skipContent, writePeer } from "./_peer_codec.ts";
import type { NodeId, Peer } from "./types.ts";

export const VERSION = 1;

/** Message types; each follows the version. */
export const PING = 1;
export const ACK = 2;
export const ASK = 3;
export const ANSWER = 4;
export const NEWS = 5;
export const PAGE = 6;
export const MORE = 7;

/** Kinds of news. */
export const ALIVE = 1;
export const SUSPECT = 2;
export const DEAD = 3;
export const LEFT = 4;

/** The longest message sent and taken, in bytes. */
export const MAX_MESSAGE: number = 16 * 1024;
/** Accusers that one piece of news names. */
export const MAX_ACCUSERS = 8;

/** What is told of a node. */
export type News = Alive | Suspected | Gone;

/** A node lives, and this is what it says of itself. */
export interface Alive {
  readonly kind: typeof ALIVE;
  readonly id: NodeId;
  readonly incarnation: number;
  readonly peer: Peer;
}

/** Some could not reach it. */
export interface Suspected {
  readonly kind: typeof SUSPECT;
  readonly id: NodeId;
  readonly incarnation: number;
  readonly accusers: readonly NodeId[];
}

/** It was given up, or said goodbye. */
export interface Gone {
  readonly kind: typeof DEAD | typeof LEFT;
  readonly id: NodeId;
  readonly incarnation: number;
}

/** Whether an address of a node may be told to another. */
export type MayTell = (to: NodeId, address: string, of: NodeId) => boolean;

/** Which news a reader wants; the rest is passed over. */
export interface NewsFilter {
  /** Whether a record of a node under this incarnation, told by `from`, says anything new. */
  wants(from: NodeId, id: NodeId, incarnation: number): boolean;
}

const NOTHING: readonly News[] = [];
/** Empty between two items. */
const writer = new Writer();

/** One piece of news, encoded once for all who may know every address in it. */
export class Item {
  readonly news: News;
  #bytes: Uint8Array | null = null;

  constructor(news: News) {
    this.news = news;
  }

  /** What is sent of it to a node. */
  bytesFor(to: NodeId, mayTell: MayTell): Uint8Array {
    const { news } = this;
    if (news.kind === ALIVE && !mayTellAll(news.peer, to, mayTell)) {
      return encode(news, (address) => mayTell(to, address, news.id));
    }
    this.#bytes ??= encode(news, everything);
    return this.#bytes;
  }
}

/** That a node lives, as it is known. */
export function aliveItem(peer: Peer): Item {
  return new Item(aliveNews(peer));
}

/** The same, not to be sent. */
export function aliveNews(peer: Peer): Alive {
  return {
    kind: ALIVE,
    id: peer.id,
    incarnation: peer.incarnation,
    peer,
  };
}

/**
 * Reads the news at the end of a message, and nothing of it that `filter` does not
 * want.
 */
export function readNews(
  reader: Reader,
  from: NodeId,
  filter: NewsFilter,
): readonly News[] {
  if (reader.done) return NOTHING;
  const all: News[] = [];
  while (!reader.done) {
    const news = readItem(reader, from, filter);
    if (news !== null) all.push(news);
  }
  return all;
}

/**
 * Takes out of a message what its sender tells of others; null: nothing is left.
 *
 * @throws {MalformedError} If it is malformed.
 */
export function siftMessage(
  from: NodeId,
  message: Uint8Array,
): Uint8Array | null {
  const reader = new Reader(message);
  const version = reader.u8();
  const type = reader.u8();
  if (version !== VERSION || message.length > MAX_MESSAGE) return null;
  if (type === MORE) return message;
  if (!skipHead(type, reader)) return null;
  const head = message.length - reader.left;
  const isOwn = { wants: (_: NodeId, id: NodeId) => id === from };
  const sifted = new Writer().raw(message.subarray(0, head));
  for (const news of readNews(reader, from, isOwn)) {
    if (news.id === from) sifted.raw(encode(news, everything));
  }
  return sifted.take();
}

/** Passes over what stands before the news; false: such a message is about others. */
function skipHead(type: number, reader: Reader): boolean {
  if (type === PING) reader.skipOver(1 + 8 + 4);
  else if (type === ACK) reader.skipOver(1 + 4);
  else if (type === PAGE) reader.skipOver(1 + 8);
  else if (type === ASK) {
    reader.skipOver(4);
    readId(reader);
    reader.skipOver(8);
  } else return type === NEWS;
  return true;
}

function mayTellAll(
  { id, addresses }: Peer,
  to: NodeId,
  may: MayTell,
): boolean {
  for (const address of addresses) if (!may(to, address, id)) return false;
  return true;
}

function encode(news: News, mayTell: (address: string) => boolean): Uint8Array {
  writer.u8(news.kind);
  if (news.kind === ALIVE) writePeer(writer, news.peer, mayTell);
  else writer.string(news.id).u53(news.incarnation);
  if (news.kind === SUSPECT) {
    const accusers = news.accusers.slice(0, MAX_ACCUSERS);
    writer.u8(accusers.length);
    for (const accuser of accusers) writer.string(accuser);
  }
  return writer.take();
}

function everything(): boolean {
  return true;
}

function readItem(
  reader: Reader,
  from: NodeId,
  filter: NewsFilter,
): News | null {
  const kind = reader.u8();
  const id = readId(reader);
  const incarnation = reader.u53();
  if (kind === ALIVE) {
    if (filter.wants(from, id, incarnation)) {
      return aliveNews(readContent(reader, id, incarnation));
    }
    skipContent(reader);
    return null;
  }
  if (kind === SUSPECT) {
    return { kind, id, incarnation, accusers: readAccusers(reader) };
  }
  if (kind === DEAD || kind === LEFT) return { kind, id, incarnation };
  throw new MalformedError(`There is no kind of news ${kind}`);
}

function readAccusers(reader: Reader): NodeId[] {
  const count = reader.u8();
  if (count === 0 || count > MAX_ACCUSERS) {
    throw new MalformedError(`A node has ${count} accusers`);
  }
  const accusers: NodeId[] = [];
  for (let i = 0; i < count; i++) accusers.push(readId(reader));
  return accusers;
}
