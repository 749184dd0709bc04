/**
 * The seams of routing and membership, and the arithmetic of incarnations.
 *
 * A router decides which neighbour a packet goes to next; a membership knows who
 * is in the cluster and whether they live. Neither does I/O: give a router links,
 * a clock and randomness, and it works over anything that moves bytes.
 *
 * ```ts
 * import type { Router } from "@devts/routing";
 * import { systemClock } from "@devts/routing/clock";
 * import { peerRouter } from "@devts/routing/peer";
 * import { assertEquals } from "@std/assert";
 *
 * const sent: string[] = [];
 * const router: Router = peerRouter()({
 *   self: { id: "a", incarnation: 1, addresses: [] },
 *   clock: systemClock(),
 *   random: Math.random,
 *   links: {
 *     send: (id, packet) => sent.push(`${packet.length} bytes to ${id}`) > 0,
 *     connect: () => {},
 *     disconnect: () => {},
 *   },
 *   up: { deliver: () => {}, undelivered: () => {} },
 * });
 *
 * router.link({ type: "up", peer: { id: "b", incarnation: 1, addresses: [] } });
 * router.send("all", new Uint8Array(3));
 * router.close();
 *
 * assertEquals(sent, ["3 bytes to b"]);
 * ```
 *
 * @module
 */

export type * from "./explain.ts";
export * from "./incarnation.ts";
export * from "./types.ts";
