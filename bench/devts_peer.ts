import type { CarrierName } from "./carriers.ts";
import { Child } from "./child.ts";
import type { Party, Peer, StartOptions } from "./peer.ts";
import { codec, own } from "./versions.ts";

/** The project itself, with its defaults: TCP and msgpackr. */
export const devts: Peer = devtsIn(new URL("./", import.meta.url), "devts");

/** The same over another carrier: nodes that share a secret. */
export function devtsOver(carrier: CarrierName, secret: string): Peer {
  const name = `devts ${carrier.toUpperCase()}`;
  return devtsIn(new URL("./", import.meta.url), name, [carrier, secret]);
}

/** The project as it stands in a checkout. `bench`: the folder of its benchmark. */
export function devtsIn(
  bench: URL,
  name: string,
  args: readonly string[] = [],
): Peer {
  const program = new URL("devts.ts", bench);
  return {
    name,
    kinds: ["object128", "bytes128", "bytes1k", "bytes64k"],
    requests: true,
    versions: async () => ({ ...await own(), ...await codec() }),
    start: (processes, subscribers, options) =>
      start(program, args, processes, subscribers, options),
  };
}

async function start(
  program: URL,
  args: readonly string[],
  processes: AsyncDisposableStack,
  subscribers: number,
  { pinned = false }: StartOptions = {},
): Promise<Party> {
  const spawn = (processor: number) =>
    processes.use(
      new Child(program, { args, ...(pinned && { processor }) }),
    );
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
}
