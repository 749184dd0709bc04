import { Child } from "../../../bench/child.ts";
import type { Row } from "../runner.ts";

const PACKETS = 1_000_000;
const PACKETS_SHORT = 30_000;
/** By how much the heap may grow for each node, in MiB; so many are in one process. */
const GROWTH = 32;
const NODES = 5;
/** Nodes that a router may hold of those that it was told of. */
const MOST = 20_000;

/** A neighbour that imitates, forges and replays: nothing of it counts, and nothing grows. */
export function hostileNeighbour(router: string): Row {
  return {
    what: `a neighbour forges and replays packets, ${router}Router(), swim()`,
    target:
      `the others keep each other and hear each other again, once, heap at most ${GROWTH} MiB more for each node`,
    measure: async ({ short, progress }) => {
      await using child = new Child(
        new URL("hostile_router.ts", import.meta.url),
        { flags: ["-A", "--v8-flags=--expose-gc"], args: [router] },
      );
      const before = (await child.ask("form")).number("heap");
      const count = short ? PACKETS_SHORT : PACKETS;
      const attacked = await child.ask("attack", { count });
      const [heap, nodes, members] = [
        attacked.number("heap"),
        attacked.number("nodes"),
        attacked.number("members"),
      ];
      progress(
        `${count} packets, heap ${before.toFixed(1)} to ${heap.toFixed(1)} MiB`,
      );
      const settled = await child.ask("settle");
      const wrong = settled.text("wrong");
      return {
        figure: `${count} packets: heap ${before.toFixed(1)} MiB, then ${
          heap.toFixed(1)
        }, at last ${
          settled.number("heap").toFixed(1)
        }; up to ${nodes} nodes and ${members} members, ${
          attacked.number("refused")
        } counted, ${
          attacked.number("threw")
        } ended the link; all hear all again after ${
          settled.number("rounds")
        } broadcasts${wrong === "" ? "" : `; ${wrong}`}`,
        held: wrong === "" && (heap - before) / NODES <= GROWTH &&
          nodes <= MOST,
      };
    },
  };
}
