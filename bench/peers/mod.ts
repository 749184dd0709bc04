/**
 * The other event systems, each configured as its own documentation recommends.
 *
 * Objects travel as MessagePack by msgpackr, as in the project, where a system carries
 * bytes; Moleculer keeps its JSON.
 *
 * @module
 */

import type { Peer } from "../peer.ts";
import { installPackages, installServer } from "./install.ts";
import { peerOf, type System } from "./system.ts";
import { libp2p, moleculer, nats, redis, zeromq } from "./systems.ts";

/** A peer that is left out. */
export interface Missing {
  /** The name that it has in a report. */
  readonly name: string;
  /** What failed, and what to do about it. */
  readonly reason: string;
}

const SYSTEMS: readonly (readonly [string, () => Promise<System>])[] = [
  ["NATS", async () => nats(await installServer("nats-server"))],
  ["ZeroMQ", () => Promise.resolve(zeromq())],
  ["Redis", async () => redis(await installServer("redis-server"))],
  ["Moleculer", () => Promise.resolve(moleculer())],
  ["libp2p (StrictNoSign)", () => Promise.resolve(libp2p("StrictNoSign"))],
  ["libp2p (StrictSign)", () => Promise.resolve(libp2p("StrictSign"))],
];

/**
 * Installs what the other event systems need, where it is not here yet, and returns
 * those that can be measured. Says on stderr what it installs.
 */
export async function peers(): Promise<
  { readonly peers: readonly Peer[]; readonly missing: readonly Missing[] }
> {
  const peers: Peer[] = [];
  const missing: Missing[] = [];
  for (const [name, setUp] of SYSTEMS) {
    try {
      await installPackages();
      peers.push(peerOf(await setUp()));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      missing.push({ name, reason });
    }
  }
  return { peers, missing };
}
