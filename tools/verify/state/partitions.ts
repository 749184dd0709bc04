import {
  counter,
  map,
  type ReplicatedCounter,
  type ReplicatedMap,
} from "@devts/node/state";
import {
  checkHistory,
  type History,
  simulate,
  type StoreReport,
  type StoreScenario,
  type Trouble,
} from "@devts/node/testing";
import type { Measurement, MeasureOptions, Row } from "../runner.ts";

const NODES = 5;
/** In which all must hold the same once all is well again, in ms. */
const SETTLE = 30_000;
/** How often a person is told how far it is, in seeds. */
const PROGRESS = 50;
const TROUBLES: readonly Trouble[] = [
  "full",
  "asymmetric",
  "bridge",
  "rolling",
  "crash",
  "clock",
];

/** What is written how, and what may happen to it. */
interface Case {
  readonly level: "quorum" | "all";
  /** Whether nodes keep it on their disks; then all of them may crash at once. */
  readonly isKept: boolean;
}

const CASES: readonly Case[] = [
  { level: "quorum", isKept: false },
  { level: "quorum", isKept: true },
  { level: "all", isKept: false },
  { level: "all", isKept: true },
];

/** Replicated maps under partitions, crashes, restarts and wrong clocks. */
export const partitions: Row = {
  what:
    "simulated partitions (full, asymmetric, bridge, rolling) with crashes, restarts, and clocks up to a minute apart",
  target:
    `0 acknowledged writes lost at quorum and all, 0 counted twice, the same hash within ${
      SETTLE / 1_000
    } s`,
  async measure({ short, progress }: MeasureOptions): Promise<Measurement> {
    const seeds = (short ? 60 : 1_000) / CASES.length;
    const figures: string[] = [];
    let held = true;
    for (const one of CASES) {
      const name = `${one.level}, ${one.isKept ? "on disks" : "in memory"}`;
      const report = await simulate({
        nodes: NODES,
        seeds,
        troubles: TROUBLES,
        settle: SETTLE,
        ...one.isKept && { crashes: NODES },
        progress: (done) => {
          if (done % PROGRESS === 0) progress(`${name}: ${done} of ${seeds}`);
        },
      }, scenario(one));
      held &&= report.failure === null;
      figures.push(`${name}: ${figure(report)}`);
    }
    return { figure: figures.join("; "), held };
  },
};

function figure(report: StoreReport): string {
  const { seeds, acknowledged, converged, failure } = report;
  return failure === null
    ? `${seeds} runs, ${acknowledged} acknowledged writes, converged in ${
      converged.toFixed(0)
    } ms at most`
    : `${report}`;
}

/** What is written to at once, on one node. */
interface Shop {
  readonly cart: ReplicatedMap<string>;
  readonly sales: ReplicatedCounter;
  /** Changes of the cart that were told twice. */
  readonly doubled: string[];
}

function scenario({ level, isKept }: Case): StoreScenario<Shop> {
  return {
    async start({ createNode, storage, ids }) {
      const options = {
        replicas: ids.length,
        level,
        ...isKept && { storage },
      };
      const node = createNode();
      const cart = node.use("cart", map<string>(options));
      const sales = node.use("sales", counter(options));
      const doubled = doubledOf(cart);
      await cart.ready;
      await sales.ready;
      return { cart, sales, doubled };
    },
    write: ({ cart, sales }, key, value) =>
      Promise.all([cart.set(key, value), sales.add()]),
    delete: ({ cart }, key) => cart.delete(key),
    read: ({ cart }, key) => cart.get(key),
    version: ({ cart }, key) => cart.version(key),
    hash: ({ cart, sales }) => cart.hash() + sales.hash(),
    check(history, stores) {
      checkHistory(history);
      const { least, most } = sold(history);
      for (const [id, { cart, sales, doubled }] of stores) {
        const { value } = sales;
        if (cart.counters.divergences + sales.counters.divergences > 0) {
          throw new Error(`"${id}" found that it held something else`);
        }
        if (doubled.length > 0) {
          throw new Error(`"${id}" told ${doubled} twice`);
        }
        if (value >= least && value <= most) continue;
        throw new Error(
          `"${id}" counts ${value}; ${least} were acknowledged, ${most} asked for`,
        );
      }
    },
  };
}

function sold(history: History): { least: number; most: number } {
  const writes = history.filter(({ kind }) => kind === "write");
  const least = writes.filter(({ outcome }) => outcome === "ok").length;
  return { least, most: writes.length };
}

/** The changes that a map tells twice, as it goes on. */
function doubledOf(cart: ReplicatedMap<string>): string[] {
  const told = new Set<string>();
  const doubled: string[] = [];
  cart.watch(({ key }) => {
    const change = `${key}@${cart.version(key)}`;
    if (told.has(change)) doubled.push(change);
    told.add(change);
  });
  return doubled;
}
