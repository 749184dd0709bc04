import { Child } from "../../../bench/child.ts";
import { pause } from "../../../bench/serve.ts";
import type { Measurement, MeasureOptions, Row } from "../runner.ts";
import type { Report } from "./upgrade_traffic.ts";

/** The nodes, in the order in which they are replaced. */
const IDS = ["c", "b", "a"];
/** For how long both versions run side by side between two steps, in ms. */
const BETWEEN = 700;
/** In which a node learns what does not fit, in ms. */
const NAMED = 20_000;

/** A process from its start to its end. */
interface Life {
  readonly id: string;
  readonly version: 1 | 2;
  readonly child: Child;
  readonly address: string;
  /** From when on it was up, and until when. */
  readonly readyAt: number;
  stopAt: number;
  /** The number that it sent first. */
  readonly first: number;
  report: Report | null;
}

/** What came of an upgrade. */
export interface Upgrade {
  /** Events and deliveries that were to be handled, once each. */
  readonly due: number;
  /** What was wrong, in words. */
  readonly faults: readonly string[];
  /** What nodes said of each other, each once. */
  readonly named: readonly string[];
}

/** Two programs, the later of which takes the place of the first one, node by node. */
export const upgrade: Row = {
  what:
    "a rolling upgrade of 3 processes, two versions of a program, under steady traffic of all kinds",
  target:
    "compatible events handled once by all that were up, in order, and every delivery acknowledged; the one that does not fit is named, and sent to nobody who cannot take it",
  async measure({ short, progress }: MeasureOptions): Promise<Measurement> {
    const rounds = short ? 1 : 10;
    const faults: string[] = [];
    const named = new Set<string>();
    let due = 0;
    for (let round = 1; round <= rounds; round++) {
      const result = await rollOut();
      due += result.due;
      faults.push(...result.faults);
      for (const one of result.named) named.add(one);
      progress(`${round} of ${rounds} upgrades, ${faults.length} faults`);
    }
    return {
      figure: `${due} handled in ${rounds} upgrades, ${faults.length} faults${
        faults.slice(0, 3).map((fault) => `; ${fault}`).join("")
      }; ${[...named].sort()[0]}`,
      held: due > 0 && faults.length === 0 && named.size > 0,
    };
  },
};

/** Replaces the nodes of the first version one by one while all of them send. */
export async function rollOut(): Promise<Upgrade> {
  await using processes = new AsyncDisposableStack();
  const running = new Map<string, Life>();
  const lives: Life[] = [];
  async function start(id: string, version: 1 | 2): Promise<void> {
    const life = await begin(processes, id, version, lives, running);
    lives.push(life);
    running.set(id, life);
  }
  for (const id of IDS) await start(id, 1);
  for (const { child, first } of lives) await child.ask("send", { first });
  await pause(BETWEEN);
  const named: string[] = [];
  for (const id of IDS) {
    await end(running.get(id));
    await start(id, 2);
    const newest = lives.at(-1);
    await newest?.child.ask("send", { first: newest.first });
    const olds = [...running.values()].filter(({ version }) => version === 1);
    for (const { id: old, child } of olds) {
      const text = `"user.created" of this node lacks "email"`;
      named.push(
        await naming(
          newest?.child,
          `node "${old}": "user.created" lacks "email"`,
        ),
        await naming(child, `node "${id}": ${text}`),
      );
    }
    await pause(BETWEEN);
  }
  // One after the other: what the others sent before has come.
  for (const life of running.values()) await end(life);
  return { ...judge(lives), named };
}

async function begin(
  processes: AsyncDisposableStack,
  id: string,
  version: 1 | 2,
  lives: readonly Life[],
  running: ReadonlyMap<string, Life>,
): Promise<Life> {
  const program = new URL(`upgrade_v${version}.ts`, import.meta.url);
  const child = processes.use(new Child(program, { args: [id] }));
  const address = (await child.ask("listen")).text("address");
  const others = [...running.values()].filter((life) => life.id !== id);
  const entries = others.map((life) => life.address).join();
  const readyAt = (await child.ask("join", { entries })).number("readyAt");
  const first = lives.filter((life) => life.id === id)
    .reduce((sum, { report }) => sum + (report?.sentAt.length ?? 0), 0);
  return {
    ...{ id, version, child, address, readyAt, first },
    ...{ stopAt: Infinity, report: null },
  };
}

async function end(life: Life | undefined): Promise<void> {
  if (life === undefined) throw new RangeError("There is no such node");
  const answer = await life.child.ask("stop");
  life.stopAt = answer.number("stopAt");
  life.report = JSON.parse(answer.text("report"));
  await life.child.end(5_000);
}

/** Resolves to a line once a node has said it. */
async function naming(child: Child | undefined, line: string): Promise<string> {
  const end = performance.now() + NAMED;
  while (performance.now() < end) {
    const said = await child?.ask("incompatible");
    if (said?.text("lines").includes(JSON.stringify(line))) return line;
    await pause(20);
  }
  throw new Error(`Nobody said: ${line}`);
}

function judge(lives: readonly Life[]): Omit<Upgrade, "named"> {
  const faults: string[] = [];
  let due = 0;
  for (const sender of lives) {
    const { report } = sender;
    if (report === null) throw new Error(`"${sender.id}" said nothing`);
    if (!report.isDrained) faults.push(`${nameOf(sender)} was not drained`);
    for (const receiver of lives) {
      if (receiver.id === sender.id) continue;
      const one = judgePair(sender, report, receiver);
      due += one.due;
      faults.push(...one.faults);
    }
    for (const { at, to, why } of report.failed) {
      const target = lives.find((life) => life.id === to && wasUp(life, at));
      if (target) {
        faults.push(`${nameOf(sender)} asked ${nameOf(target)}: ${why}`);
      }
    }
  }
  faults.push(...judgeReach(lives));
  return { due, faults };
}

function judgePair(
  sender: Life,
  { sentAt, paid }: Report,
  receiver: Life,
): { readonly due: number; readonly faults: readonly string[] } {
  const faults: string[] = [];
  let due = 0;
  for (const kind of ["placed", "paid", "created"]) {
    const took = receiver.report?.took[kind]?.[sender.id] ?? [];
    const numbers = new Set(took);
    const between = `${kind} from ${nameOf(sender)} at ${nameOf(receiver)}`;
    if (numbers.size < took.length) faults.push(`${between}: some twice`);
    // What is delivered may come later, where it had to be sent again.
    const isSorted = took.every((one, at) =>
      at === 0 || one > (took[at - 1] ?? 0)
    );
    if (kind !== "paid" && !isSorted) faults.push(`${between}: out of order`);
    const fits = kind !== "created" || sender.version >= receiver.version;
    for (const [at, time] of sentAt.entries()) {
      const number = sender.first + at;
      if (!fits && numbers.has(number)) {
        faults.push(`${between}: it does not fit`);
      }
      if (!fits || !wasUp(receiver, time)) continue;
      due++;
      const isLate = `${
        (time - receiver.readyAt).toFixed(1)
      } ms after its start, ${
        (receiver.stopAt - time).toFixed(1)
      } before its end`;
      if (!numbers.has(number)) {
        faults.push(`${between}: ${number} is lost, sent ${isLate}`);
      }
      if (kind !== "paid") continue;
      if (paid[at]?.by.includes(receiver.id)) continue;
      faults.push(`${between}: ${number} is not acknowledged, sent ${isLate}`);
    }
  }
  return { due, faults };
}

/** The last one of the first version reaches nobody, the first one of the second all. */
function judgeReach(lives: readonly Life[]): string[] {
  const old = lives.filter(({ version }) => version === 1).at(-1)?.report;
  const young = lives.find(({ version }) => version === 2)?.report;
  const others = IDS.length - 1;
  return [
    ...old?.reached === 0 ? [] : [`what does not fit reached ${old?.reached}`],
    ...young?.reached === others
      ? []
      : [`what fits reached ${young?.reached} of ${others}`],
  ];
}

function wasUp({ readyAt, stopAt }: Life, time: number): boolean {
  return time >= readyAt && time < stopAt;
}

function nameOf({ id, version }: Life): string {
  return `"${id}" v${version}`;
}
