import type { Connection, Transport } from "@devts/transport";

/**
 * A layer around dialling and accepting, before anyone is authenticated: it takes
 * a transport and gives one back (allow, balance, inject faults).
 */
export type Plugin = (transport: Transport) => Transport;

/**
 * A layer around one authenticated link whose peer is known: it takes a
 * connection and gives one back (limit, compress, trace, count).
 *
 * It runs once per link, after the handshake. What it throws closes that link
 * only.
 */
export type LinkPlugin = (connection: Connection, peer: LinkPeer) => Connection;

/** What a {@linkcode LinkPlugin} knows of the other end. */
export interface LinkPeer {
  /** The id of the node at the other end. */
  readonly id: string;
}

/** Where a plugin that needs time takes it from: for tests, a clock of their own. */
export interface PluginClock {
  /** The time in ms, from any start; it never goes back. */
  now(): number;
  /** Calls back once, after so many ms; returns what cancels that. */
  after(delay: number, callback: () => void): () => void;
}
