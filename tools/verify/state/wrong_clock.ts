import { map, type ReplicatedMap, WriteError } from "@devts/node/state";
import {
  type Action,
  checkHistory,
  type History,
  simulate,
} from "@devts/node/testing";
import type { Row } from "../runner.ts";

const HOUR = 3_600_000;
const NODES = 4;
/** When the clock is set, in ms. */
const SET = 5_000;
const WRITES = 60;

/** A node whose clock is an hour off. */
export const wrongClock: Row = {
  what: "a node whose clock is 1 h ahead, or 1 h behind",
  target:
    "refuses its own writes with an error that says so, goes on reading and merging, harms nobody",
  async measure({ short }) {
    const figures: string[] = [];
    let held = true;
    for (const offset of [HOUR, -HOUR]) {
      let refused = 0;
      let message = "";
      const report = await simulate<ReplicatedMap<string>>({
        nodes: NODES,
        seeds: short ? 10 : 100,
        script: script(offset),
      }, {
        start: ({ createNode, ids }) =>
          createNode().use("cart", map<string>({ replicas: ids.length })),
        write: (cart, key, value) => cart.set(key, value, { level: "quorum" }),
        read: (cart, key) => cart.get(key),
        version: (cart, key) => cart.version(key),
        hash: (cart) => cart.hash(),
        check(history) {
          checkHistory(history);
          const errors = refusals(history);
          refused += errors.length;
          message = errors[0] ?? message;
        },
      });
      held &&= report.failure === null && refused > 0;
      figures.push(
        report.failure === null
          ? `${
            offset / HOUR
          } h: ${refused} writes refused (${message}), ${report.acknowledged} of others acknowledged and read by all`
          : `${report}`,
      );
    }
    return { figure: figures.join("; "), held };
  },
};

/** Everybody writes and reads, and after a while one clock is set. */
function script(offset: number): readonly Action[] {
  const asks = Array.from({ length: WRITES }, (_, i): Action[] => {
    const node = `n${i % NODES}`;
    const key = `k${i % 16}`;
    const at = 300 * i;
    return [
      { at, do: "write", node, key },
      { at: at + 100, do: "read", node: "n0", key },
    ];
  }).flat();
  return [{ at: SET, do: "clock", node: "n0", skew: { offset } }, ...asks];
}

/** What the node with the wrong clock said to those who wrote; it took none of it. */
function refusals(history: History): string[] {
  const start = history[0]?.invoked ?? 0;
  return history.filter(({ kind }) => kind === "write").flatMap((write) => {
    const isWrong = write.node === "n0" && write.invoked > start + SET;
    const { error, outcome } = write;
    if (!isWrong && outcome === "ok") return [];
    if (isWrong && error instanceof WriteError && error.reason === "clock") {
      return [error.message];
    }
    throw new Error(
      `"${write.node}" answers a write at ${write.invoked} ms with ${outcome}: ${error}`,
    );
  });
}
