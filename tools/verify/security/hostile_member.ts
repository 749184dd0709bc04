import type { Row } from "../runner.ts";
import { all, rowOf, trialRows } from "./hostile/attack.ts";
import { memberAttacks, memberTrials } from "./hostile/member_attacks.ts";
import { siegeRow } from "./hostile/siege.ts";

/** Links with nodes of one address, by default. */
const LINKS = 16;
/** Dials to one address, by default: so many at once, and per second. */
const BURST = 10;
const RATE = 5;
/** Nodes that were told of the machine without a node. */
const TELLERS = 3;

/** Whoever is in the cluster and misbehaves: rows 15 to 27 of the catalogue. */
export const hostileMember: readonly Row[] = [
  ...memberAttacks.map((attack) =>
    rowOf("hostile member", attack, { memory: 128, latency: 250 })
  ),
  ...trialRows("hostile member", memberTrials),
  siegeRow({
    what:
      "hostile members, 21 and 22 at once: 100 nodes from each of two hosts, who tell of 20 others each at a machine that has none",
    target:
      `at most ${LINKS} links with an address at a time, and from each node at most ${BURST} dials at once and ${RATE} per second to that machine`,
    attacks: ["sybils"],
    secret: false,
    memory: 128,
    isEnough: ({ grown, dials }) =>
      grown("limits.linksPerAddress") > 0 && dials > 0 &&
      grown("limits.dialsPerAddress") > 0,
    check({ grown, done, dials, seconds }) {
      const crowded = grown("limits.linksPerAddress");
      const heldBack = grown("limits.dialsPerAddress");
      const links = done("mostOpen");
      return all({
        [`22: ${done("links")} came, ${links} at a time, ${crowded} refused`]:
          crowded > 0 && links <= 2 * LINKS,
        [`21: ${dials} dials to that machine, ${heldBack} held back`]:
          dials > 0 && heldBack > 0 &&
          dials <= TELLERS * (BURST + RATE * seconds),
      });
    },
  }),
];
