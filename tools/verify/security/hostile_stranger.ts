import type { Row } from "../runner.ts";
import { all, rowOf } from "./hostile/attack.ts";
import { siegeRow } from "./hostile/siege.ts";
import { strangerAttacks } from "./hostile/stranger_attacks.ts";

/** Whoever is not in the cluster: rows 1 to 14 of the catalogue. */
export const hostileStranger: readonly Row[] = [
  ...strangerAttacks.map((attack) =>
    rowOf("hostile stranger", attack, { memory: 64, latency: 250 })
  ),
  siegeRow({
    what:
      "hostile strangers, 3, 4, 6, 7 and 8 at once: stalled sockets, floods of connections, garbage in place of handshakes, noise and first packets to the port of QUIC",
    target:
      "connections over the limits of an address closed and counted, its address banned",
    attacks: ["flood", "garbage", "stall", "datagrams"],
    secret: true,
    memory: 64,
    check: ({ grown, done }) =>
      all({
        [`4: ${done("connects")} connects, ${grown("refused")} refused`]:
          done("connects") > 100 && grown("refused") > 100,
        [
          `3: ${done("stalled")} stalled, ${
            grown("limits.pendingPerAddress")
          } over those of an address`
        ]: grown("limits.pendingPerAddress") > 0,
        [`${grown("limits.newPerAddress")} over the rate of an address`]:
          grown("limits.newPerAddress") > 0,
        [
          `6: ${done("garbage")} times garbage, ${
            grown("limits.banAfter")
          } bans, ${grown("limits.banTime")} connections closed by them`
        ]: grown("limits.banAfter") > 0 && grown("limits.banTime") > 0,
        [`7: ${done("datagrams")} datagrams of noise`]: done("datagrams") > 100,
        [`8: ${done("initials")} first packets`]: done("initials") > 100,
      }),
  }),
];
