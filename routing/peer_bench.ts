// What the router costs for each packet, without links: 1,000 packets in each
// iteration, in a cluster of eight.

import { systemClock } from "./clock.ts";
import { incarnationAt } from "./incarnation.ts";
import { peerRouter } from "./peer.ts";
import type { NodeId, Router } from "./types.ts";

const COUNT = 1_000;
const OTHERS: readonly NodeId[] = Array.from({ length: 7 }, (_, i) => `n${i}`);
const packet = new Uint8Array(128);
let moved = 0;

function make(): Router {
  const incarnation = incarnationAt(0);
  const router = peerRouter()({
    self: { id: "self", incarnation, addresses: [] },
    clock: systemClock(),
    random: Math.random,
    links: {
      send: (_to, { length }) => {
        moved += length;
        return true;
      },
      connect: () => {},
      disconnect: () => {},
    },
    up: {
      deliver: (_from, { length }) => {
        moved += length;
      },
      undelivered: () => {},
    },
  });
  for (const id of OTHERS) {
    router.link({ type: "up", peer: { id, incarnation, addresses: [] } });
  }
  return router;
}

const TARGETS: readonly (readonly [string, readonly NodeId[] | "all"])[] = [
  ["all of seven", "all"],
  ["six of seven", OTHERS.slice(1)],
  ["one of seven", OTHERS.slice(3, 4)],
];

for (const [what, to] of TARGETS) {
  const router = make();
  Deno.bench(`peerRouter().send() 1,000 packets to ${what}`, () => {
    for (let i = 0; i < COUNT; i++) router.send(to, packet);
  });
}

const receiver = make();
Deno.bench("peerRouter().receive() 1,000 packets", () => {
  for (let i = 0; i < COUNT; i++) receiver.receive("n3", packet, "data");
});
