import type { Row } from "../runner.ts";
import { all, rowOf, trialRows } from "./hostile/attack.ts";
import { unreadStreams } from "./hostile/network_attacks.ts";
import type { Outcome } from "./hostile/scene.ts";
import { siegeRow, type Sight } from "./hostile/siege.ts";
import { strangerAttacks } from "./hostile/stranger_attacks.ts";

/** Whoever is not in the cluster: rows 1 to 14 of the catalogue. */
export const hostileStranger: readonly Row[] = [
  ...strangerAttacks.map((attack) =>
    rowOf("hostile stranger", attack, { memory: 64, latency: 250 })
  ),
  ...trialRows("hostile stranger", [unreadStreams]),
  siegeRow({
    what:
      "hostile strangers, 3, 4, 6, 7 and 8 at once: stalled sockets, floods of connections, garbage in place of handshakes, noise and first packets to the port of QUIC",
    target:
      "connections over the limits of an address closed and counted, addresses banned",
    attacks: ["flood", "garbage", "stall", "datagrams"],
    // A host that is crowded is mostly turned away before a ban is due.
    apart: ["garbage"],
    secret: true,
    memory: 64,
    isEnough: (seen) => besieged(seen).held,
    check: besieged,
  }),
  siegeRow({
    what:
      "hostile strangers, 6: 1,000 times a second garbage in place of a handshake",
    target: "at most 25 % of a processor for 1,000 a second",
    attacks: ["handshakes"],
    secret: true,
    memory: 64,
    isEnough: ({ done }) => done("garbage") > 2_000,
    check({ done, seconds, cpu }) {
      const garbage = done("garbage");
      // A busy machine attacks with fewer a second.
      const part = cpu / garbage;
      return all({
        [`${garbage}, ${(garbage / seconds).toFixed(0)} a second`]:
          garbage > 2_000,
        [`${(100 * part).toFixed(0)} % for 1,000`]: part <= 0.25,
      });
    },
  }),
];

/** What becomes of all that strangers can do at once. */
function besieged({ grown, done }: Sight): Outcome {
  const pending = grown("limits.pendingPerAddress");
  const rate = grown("limits.newPerAddress");
  const enough = (name: string): boolean => done(name) > 100;
  return all({
    [`3: ${done("stalled")} stalled, ${pending} over the places`]: pending > 0,
    [`4: ${done("connects")} connects, ${rate} over the rate`]: rate > 20,
    [`6: ${done("garbage")} times garbage`]: enough("garbage"),
    [`7: ${done("datagrams")} datagrams of noise`]: enough("datagrams"),
    [`8: ${done("initials")} first packets`]: enough("initials"),
    [
      `${grown("limits.banAfter")} bans, ${
        grown("limits.banTime")
      } connections refused by them`
    ]: grown("limits.banAfter") >= 1 && grown("limits.banTime") > 10,
  });
}
