import type { Child } from "../../../bench/child.ts";
import { now, pause } from "../../../bench/serve.ts";
import type { Measurement, Row } from "../runner.ts";
import { startNode } from "./deliver_nodes.ts";

const WORKERS = 8;
/** A worker is killed about so often, and started again after that, in ms. */
const KILL_EVERY = 700;
const RESTART_AFTER = 200;
/** The work must end in so many ms. */
const PATIENCE = 300_000;

/** A place in the group, and whoever works there now. */
interface Place {
  readonly id: string;
  readonly file: string;
  worker: Child;
  /** Since when it is there, and when others were there before it. */
  since: number;
  readonly before: { readonly from: number; readonly to: number }[];
}

/** Work for a group whose members are killed, by `deliver`. */
export const workers: Row = {
  what:
    "a group of 8 workers, jobs by deliver, workers killed at random and restarted",
  target:
    "each job acknowledged, and done by the worker that its outcome names; what each did within 10 % of an even share of the jobs done while it was there",
  async measure({ short, progress }): Promise<Measurement> {
    await using processes = new AsyncDisposableStack();
    const folder = await Deno.makeTempDir({ prefix: "devts-" });
    processes.defer(() => Deno.remove(folder, { recursive: true }));
    const { node, address } = await startNode(processes, "first");
    const places: Place[] = [];
    for (let at = 0; at < WORKERS; at++) {
      const place = { id: `worker-${at}`, file: `${folder}/${at}` };
      const worker = await startWorker(processes, place, address);
      places.push({ ...place, worker, since: now(), before: [] });
    }
    const count = short ? 8_000 : 100_000;
    await node.ask("jobs", { count, pace: short ? 1_000 : 4_000 });
    const kills = await disturb(processes, {
      node,
      places,
      address,
      count,
      progress,
    });
    return await judge(node, places, count, kills);
  },
};

async function startWorker(
  processes: AsyncDisposableStack,
  { id, file }: { readonly id: string; readonly file: string },
  entry: string,
): Promise<Child> {
  const { node } = await startNode(processes, id, entry);
  await node.ask("work", { file });
  return node;
}

/** Kills one worker after the other until all jobs are settled; resolves to how often. */
async function disturb(
  processes: AsyncDisposableStack,
  { node, places, address, count, progress }: {
    readonly node: Child;
    readonly places: readonly Place[];
    readonly address: string;
    readonly count: number;
    progress(text: string): void;
  },
): Promise<number> {
  const end = performance.now() + PATIENCE;
  let kills = 0;
  for (;;) {
    const finished = (await node.ask("progress")).number("finished");
    if (finished === count) return kills;
    if (performance.now() > end) throw new Error(`${finished} of ${count} end`);
    progress(`${finished} of ${count} jobs, ${kills} workers killed`);
    await pause(KILL_EVERY * (0.5 + Math.random()));
    // Each has its turn, so that none is away for longer than the others.
    const place = places[kills++ % places.length];
    if (place === undefined) continue;
    place.before.push({ from: place.since, to: now() });
    place.since = Infinity;
    await place.worker.kill();
    await pause(RESTART_AFTER);
    place.worker = await startWorker(processes, place, address);
    place.since = now();
  }
}

async function judge(
  node: Child,
  places: readonly Place[],
  count: number,
  kills: number,
): Promise<Measurement> {
  const settled = await node.ask("settled");
  const by: readonly (string | null)[] = JSON.parse(settled.text("by"));
  const at: readonly number[] = JSON.parse(settled.text("at"));
  const doneAt = new Map<string, Set<number>>();
  let lines = 0;
  for (const { id, file } of places) {
    const numbers = (await Deno.readTextFile(file)).split("\n").slice(0, -1);
    lines += numbers.length;
    doneAt.set(id, new Set(numbers.map(Number)));
  }
  const lost = by.filter((id) => id === null).length;
  const untrue =
    by.filter((id, number) => id !== null && !doneAt.get(id)?.has(number))
      .length;
  // Whoever is away gets nothing: its share is one of the jobs while it is there.
  const shares = places.map(() => 0);
  for (const time of at) {
    const there = [...places.keys()].filter((i) => isThere(places[i], time));
    for (const i of there) shares[i] = (shares[i] ?? 0) + 1 / there.length;
  }
  const most = Math.max(...places.map(({ id }, i) => {
    const done = by.filter((one) => one === id).length;
    return Math.abs(done / (shares[i] ?? NaN) - 1);
  }));
  return {
    figure:
      `${by.length} jobs, ${lost} not acknowledged, ${untrue} acknowledged and not done, ${
        lines - count + lost
      } done again, ${kills} workers killed, load ${
        (100 * most).toFixed(1)
      } % from even`,
    held: by.length === count && lost === 0 && untrue === 0 && most <= 0.1,
  };
}

function isThere(place: Place | undefined, time: number): boolean {
  return place !== undefined && (place.since <= time ||
    place.before.some(({ from, to }) => from <= time && time < to));
}
