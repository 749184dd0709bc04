import type { CarrierName } from "./carriers.ts";
import { Child } from "./child.ts";
import type { Peer } from "./peer.ts";
import { codec } from "./versions.ts";

const PROGRAM = new URL("raw.ts", import.meta.url);

/** TCP by `Deno.Conn`, with msgpackr for objects. */
export const raw: Peer = rawOver("tcp");

/** The same over another carrier, whose certificates are made of a secret. */
export function rawOver(carrier: CarrierName, secret = ""): Peer {
  return {
    name: `raw Deno ${carrier.toUpperCase()}`,
    kinds: ["object128", "bytes128", "bytes1k", "bytes64k"],
    requests: true,
    versions: codec,
    async start(processes, subscribers, { pinned = false } = {}) {
      const spawn = (processor: number) =>
        processes.use(
          new Child(PROGRAM, {
            args: [carrier, secret],
            ...(pinned && { processor }),
          }),
        );
      const party = {
        publisher: spawn(0),
        subscribers: Array.from({ length: subscribers }, () => spawn(1)),
      };
      for (const [index, subscriber] of party.subscribers.entries()) {
        const ports = await subscriber.ask("listen");
        await party.publisher.ask("subscriber", {
          port: ports.number("events"),
        });
        if (index > 0) continue;
        await party.publisher.ask("server", { port: ports.number("requests") });
      }
      return party;
    },
  };
}
