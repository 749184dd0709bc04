import { median } from "../../../bench/figures.ts";
import { Others } from "../../../bench/processes.ts";
import { pause } from "../../../bench/serve.ts";
import { seededRandom } from "@devts/routing/testing";
import { ROUTERS } from "../../sim/parts.ts";
import { late } from "../late.ts";
import type { Measurement, MeasureOptions, Row } from "../runner.ts";
import { CUTS, cutTransfer } from "./stream_cuts.ts";
import {
  Growth,
  MIB,
  type Row as Nodes,
  startRow,
  transfer,
} from "./stream_nodes.ts";

const GIB = 1_024 * MIB;
/** The messages of a transfer, in bytes. */
const SIZES = [65_536, MIB];
const TARGET = 0.5;
const ROUNDS = 5;
/** Before figures count, in bytes. */
const WARM_UP = 128 * MIB;
/** The default of `limits.outbox`, and 32 more, in MiB. */
const MEMORY = 8 + 32;
/** What a slow reader takes, in bytes per second. */
const SLOW = 100 * MIB;
const DELAY = 5;
/** The same in the short form, through a relay: three programs share two processors. */
const DELAY_SHORT = 10;
/**
 * Turns that count, and for how long they are taken, in ms: others may want the
 * processors, and while they take more than a part of one, a turn shows them.
 */
const TURNS = 7;
const FEWEST_TURNS = 3;
const LONGEST: readonly [full: number, short: number] = [120_000, 30_000];
const OTHERS = 0.1;
/** How long an end may take to learn that the other one was killed, in ms. */
const NOTICED = 15_000;
const PATIENCE = 120_000;

/** Conversations: large transfers, what they do to events, and what ends them. */
export const streams: readonly Row[] = [
  ...SIZES.map((size) => throughput(size)),
  slowReader(false),
  slowReader(true),
  events(false),
  events(true),
  {
    what: "a stream cut at a random moment, over each router, simulated",
    target:
      "the receiver has the first messages, whole and in order; both ends know within 40 s that it is over",
    measure: cuts,
  },
  {
    what:
      "a stream whose sender, relay or receiver is SIGKILLed at a random moment",
    target: `the others know within ${NOTICED / 1_000} s`,
    measure: kills,
  },
];

function text(size: number): string {
  return size >= MIB ? `${size / MIB} MiB` : `${size / 1_024} KiB`;
}

function throughput(size: number): Row {
  return {
    what: `1 GiB over a stream, direct, in messages of ${text(size)}`,
    target: `at least ${TARGET} × raw Deno TCP; the checksum is equal`,
    measure: (options) => measureThroughput(size, options),
  };
}

async function measureThroughput(
  size: number,
  { short, progress }: MeasureOptions,
): Promise<Measurement> {
  const total = short ? GIB / 4 : GIB;
  await using processes = new AsyncDisposableStack();
  const others = new Others();
  const row = await startRow(processes, false);
  const keeping = await startRow(processes, false);
  await keeping.receiver.ask("set", { pace: 0, summed: 0, kept: 1 });
  const raw = await startRow(processes, false);
  const rates: number[] = [];
  const keptRates: number[] = [];
  const rawRates: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const bytes = round === 0 ? WARM_UP : total;
    const { port } = {
      port: (await raw.receiver.ask("listen raw")).number("port"),
    };
    const rawTime =
      (await raw.sender.ask("send raw", { port, size, total: bytes }))
        .number("ms");
    const { sent } = await transfer(row, bytes, size, PATIENCE);
    const kept = (await transfer(keeping, bytes, size, PATIENCE)).sent;
    const failure = sent.text("failure") + kept.text("failure");
    if (failure !== "") throw new Error(failure);
    if (round === 0) continue;
    keptRates.push(bytes / kept.number("ms") / 1_000);
    rawRates.push(bytes / rawTime / 1_000);
    rates.push(bytes / sent.number("ms") / 1_000);
    progress(
      `${rates.at(-1)?.toFixed(0)} MB/s, raw ${rawRates.at(-1)?.toFixed(0)}`,
    );
  }
  const ratioOf = (of: readonly number[]): number =>
    median(of.map((rate, i) => rate / (rawRates[i] ?? NaN)));
  const ratio = ratioOf(rates);
  const isEqual = await sameSum(row, total, size);
  const figure = `${ratio.toFixed(2)} × (${
    median(rates).toFixed(0)
  } MB/s, raw ${median(rawRates).toFixed(0)}), ${
    ratioOf(keptRates).toFixed(2)
  } × where memory is not given back; ${
    isEqual ? "the checksum is equal" : "THE CHECKSUM DIFFERS"
  }`;
  if (isEqual && ratio < TARGET) return late(figure, others);
  return { figure, held: isEqual && ratio >= TARGET };
}

async function sameSum(
  row: Awaited<ReturnType<typeof startRow>>,
  total: number,
  size: number,
): Promise<boolean> {
  for (const node of [row.sender, row.receiver]) {
    await node.ask("set", { pace: 0, summed: 1 });
  }
  const { sent, taken } = await transfer(row, total, size, PATIENCE);
  return taken.number("bytes") === total &&
    sent.number("sum") === taken.number("sum");
}

function slowReader(isRelayed: boolean): Row {
  return {
    what: `1 GiB ${
      isRelayed ? "through a relay" : "direct"
    }, with a reader slower than the writer`,
    target:
      `complete, the checksum is equal; no process takes more than ${MEMORY} MiB more`,
    measure: async ({ short }) => {
      const total = short ? GIB / 2 : GIB;
      await using processes = new AsyncDisposableStack();
      const row = await startRow(processes, isRelayed);
      const nodes = [...new Set([row.sender, row.relay, row.receiver])];
      for (const node of nodes) {
        await node.ask("set", { pace: SLOW, summed: 1 });
      }
      await transfer(row, SLOW, SIZES[0] ?? 0, PATIENCE);
      using growth = new Growth(nodes);
      const { sent, taken } = await transfer(
        row,
        total,
        SIZES[0] ?? 0,
        PATIENCE,
      );
      const failure = sent.text("failure") + taken.text("failure");
      const isEqual = taken.number("bytes") === total &&
        sent.number("sum") === taken.number("sum");
      const rate = total / taken.number("ms") / 1_000;
      return {
        figure: `${rate.toFixed(0)} MB/s; ${
          isEqual ? "the checksum is equal" : `NOT COMPLETE: ${failure}`
        }; memory grew by ${
          growth.mib.map((mib) => mib.toFixed(0)).join(", ")
        } MiB (${isRelayed ? "sender, relay, receiver" : "sender, receiver"})`,
        held: isEqual && failure === "" &&
          growth.mib.every((mib) => mib <= MEMORY),
      };
    },
  };
}

function events(isRelayed: boolean): Row {
  return {
    what: `events of 128 B while 1 GiB goes over a stream ${
      isRelayed
        ? "through the same relay, with a reader slower than the writer"
        : "on the same link"
    }`,
    target: `p99 at most ${DELAY} ms${
      isRelayed ? `; short, ${DELAY_SHORT}` : ""
    }: the median of turns in which other programs took at most ${
      100 * OTHERS
    } % of a processor`,
    measure: (options) => measureEvents(isRelayed, options),
  };
}

/** How long events took in a turn, in ms, and what else there was. */
interface Turn {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /** How long the stream took, in ms. */
  readonly ms: number;
  /** How much of a processor other programs took meanwhile. */
  readonly others: number;
}

async function measureEvents(
  isRelayed: boolean,
  { short, progress }: MeasureOptions,
): Promise<Measurement> {
  // Over a link, it takes less than a second for each GiB.
  const total = (isRelayed ? GIB / 4 : 2 * GIB) * (short ? 1 : 4);
  await using processes = new AsyncDisposableStack();
  const row = await startRow(processes, isRelayed);
  const { sender, receiver, to } = row;
  if (isRelayed) await receiver.ask("set", { pace: SLOW, summed: 0 });
  await transfer(row, WARM_UP, SIZES[0] ?? 0, PATIENCE);
  await sender.ask("send events", { to });
  await pause(1_000);
  const idle = (await receiver.ask("delays")).number("p99");
  const turns: Turn[] = [];
  const shares: number[] = [];
  const end = performance.now() + LONGEST[short ? 1 : 0];
  while (
    turns.length < TURNS &&
    (shares.length < FEWEST_TURNS || performance.now() < end)
  ) {
    const turn = await takeTurn(row, total);
    shares.push(turn.others);
    const others = `others took ${(100 * turn.others).toFixed(0)} %`;
    progress(`p99 ${turn.p99.toFixed(2)} ms, ${others}`);
    if (turn.others <= OTHERS) turns.push(turn);
  }
  await sender.ask("stop events");
  if (turns.length < FEWEST_TURNS) {
    const share = (100 * median(shares)).toFixed(0);
    const figure =
      `other programs took ${share} % of a processor: what they do is not told from what the stream does`;
    return { figure, held: false, skipped: true };
  }
  const of = (what: keyof Turn): number =>
    median(turns.map((each) => each[what]));
  const longest = Math.max(...turns.map(({ max }) => max));
  return {
    figure:
      `p99 ${of("p99").toFixed(2)} ms (${
        turns.map(({ p99 }) => p99.toFixed(1)).join(", ")
      }), median ${of("p50").toFixed(2)}, longest ${longest.toFixed(2)}, of ${
        of("count")
      } a turn, at ${(total / of("ms") / 1_000).toFixed(0)} MB/s; ` +
      `without the stream p99 ${idle.toFixed(2)}`,
    held: of("p99") <= (isRelayed && short ? DELAY_SHORT : DELAY),
  };
}

/** Sends so many bytes while events go the same way. */
async function takeTurn(row: Nodes, total: number): Promise<Turn> {
  const { receiver } = row;
  await receiver.ask("delays");
  const others = new Others();
  const { sent } = await transfer(row, total, SIZES[0] ?? 0, PATIENCE);
  const { share } = others;
  const failure = sent.text("failure");
  if (failure !== "") throw new Error(failure);
  const delays = await receiver.ask("delays");
  return {
    count: delays.number("count"),
    p50: delays.number("p50"),
    p99: delays.number("p99"),
    max: delays.number("max"),
    ms: sent.number("ms"),
    others: share,
  };
}

async function cuts({ short, progress }: MeasureOptions): Promise<Measurement> {
  const seeds = short ? 3 : 60;
  let runs = 0;
  let complete = 0;
  const failures: string[] = [];
  for (const [name, { make, relays }] of Object.entries(ROUTERS)) {
    for (const cut of CUTS) {
      for (let seed = 1; seed <= seeds; seed++) {
        const options = { seed, cut, router: make, relayed: relays };
        runs++;
        try {
          if (await cutTransfer(options)) complete++;
        } catch (error) {
          failures.push(`${name}, ${cut}, seed ${seed}: ${error}`);
        }
      }
    }
    progress(`${runs} runs, ${failures.length} failed`);
  }
  return {
    figure: `${runs} transfers, of which ${
      runs - complete
    } were cut short, ${failures.length} wrong${
      failures.length > 0 ? `; ${failures[0]}` : ""
    }`,
    held: failures.length === 0,
  };
}

async function kills(
  { short, progress }: MeasureOptions,
): Promise<Measurement> {
  const rounds = short ? 3 : 12;
  const random = seededRandom(Deno.pid);
  const faults: string[] = [];
  let longest = 0;
  for (let round = 0; round < rounds; round++) {
    await using processes = new AsyncDisposableStack();
    const row = await startRow(processes, true);
    const { sender, relay, receiver, to } = row;
    for (const node of [sender, receiver]) {
      await node.ask("set", { pace: SLOW, summed: 0 });
    }
    await sender.ask("send", { to, total: 8 * GIB, size: SIZES[0] ?? 0 });
    await receiver.ask("taking", { within: PATIENCE });
    await pause(500 * random());
    const victim = [sender, relay, receiver][round % 3];
    const killed = performance.now();
    await victim?.kill();
    for (
      const [node, verb] of [[sender, "sent"], [receiver, "taken"]] as const
    ) {
      if (node === victim) continue;
      const end = await node.ask(verb, { within: NOTICED });
      longest = Math.max(longest, performance.now() - killed);
      if (end.text("failure") === "") {
        faults.push(`round ${round}: "${verb}" knows nothing`);
      }
    }
    progress(`${round + 1} of ${rounds}`);
  }
  return {
    figure: `${rounds} kills, the longest to be noticed took ${
      (longest / 1_000).toFixed(1)
    } s${faults.length > 0 ? `; ${faults.join("; ")}` : ""}`,
    held: faults.length === 0 && longest <= NOTICED,
  };
}
