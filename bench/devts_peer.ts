import { Child } from "./child.ts";
import type { Peer } from "./peer.ts";
import { codec, own } from "./versions.ts";

const PROGRAM = new URL("devts.ts", import.meta.url);

/** The project itself, with its defaults: TCP and msgpackr. */
export const devts: Peer = {
  name: "devts",
  kinds: ["object128", "bytes128", "bytes1k", "bytes64k"],
  requests: true,
  versions: async () => ({ ...await own(), ...await codec() }),
  async start(processes, subscribers, { pinned = false } = {}) {
    const spawn = (processor: number) =>
      processes.use(new Child(PROGRAM, pinned ? { processor } : {}));
    const party = {
      publisher: spawn(0),
      subscribers: Array.from({ length: subscribers }, () => spawn(1)),
    };
    const address = (await party.publisher.ask("listen")).text("address");
    const ids: string[] = [];
    for (const subscriber of party.subscribers) {
      ids.push((await subscriber.ask("listen")).text("id"));
      await subscriber.ask("join", { address });
    }
    const linked = await party.publisher.ask("linked", {
      nodes: subscribers,
      server: ids[0] ?? "",
    });
    if (linked.number("nodes") !== subscribers) {
      throw new Error("Not all subscribers joined");
    }
    return party;
  },
};
