import type { Child } from "../../../bench/child.ts";
import { median } from "../../../bench/figures.ts";
import { FIRST } from "../../../bench/payload.ts";
import { residentOf } from "../../../bench/processes.ts";
import { pause } from "../../../bench/serve.ts";
import type { Values } from "../../../bench/values.ts";
import type { Measurement, MeasureOptions, Row } from "../runner.ts";
import { ask, startNodes } from "./nodes.ts";

const SUBSCRIBERS = 3;
const GRACE = 1_000;
const WARM_UP = 2_000;
const BEFORE = 4_000;
const AFTER = 4_000;
const TARGET = 0.9;
/** The default of `limits.outbox`, and 32 more, in MiB. */
const MEMORY = 8 + 32;

/** Makes a subscriber take nothing for a while. */
interface Stop {
  /** For how long, in ms. */
  readonly duration: number;
  begin(subscriber: Child): unknown;
  end(subscriber: Child): unknown;
}

/** One of three subscribers takes nothing for a while. */
export const slowSubscriber: readonly Row[] = [
  row("stops reading: its handlers do not end", {
    duration: 8_000,
    begin: (subscriber) => ask(subscriber, "hold"),
    end: (subscriber) => ask(subscriber, "release"),
  }),
  // Not longer: a node that is silent for 5 s may be taken for dead.
  row("is stopped by a signal", {
    duration: 4_000,
    begin: ({ pid }) => Deno.kill(pid, "SIGSTOP"),
    end: ({ pid }) => Deno.kill(pid, "SIGCONT"),
  }),
];

function row(what: string, stop: Stop): Row {
  return {
    what: `at full rate, one of ${SUBSCRIBERS} subscribers ${what}, for ${
      stop.duration / 1000
    } s`,
    target:
      `after the first second the others have at least ${TARGET} × their throughput and lose nothing; ` +
      `it learns exactly what it missed; the publisher's memory grows by at most ${MEMORY} MiB`,
    measure: (options) => measure(stop, options),
  };
}

async function measure(
  stop: Stop,
  { progress }: MeasureOptions,
): Promise<Measurement> {
  await using processes = new AsyncDisposableStack();
  const [publisher, victim, ...others] = await startNodes(
    processes,
    1 + SUBSCRIBERS,
  );
  if (!publisher || !victim) throw new RangeError("There are too few nodes");
  const subscribers = [victim, ...others];
  await awaitAny(subscribers);
  using memory = new Memory(publisher.pid);
  const through = async (duration: number) => {
    const start = await reports(others);
    await pause(duration);
    return rates(start, await reports(others));
  };

  await ask(publisher, "start");
  await pause(WARM_UP);
  const before = await through(BEFORE);
  const usual = memory.take();
  progress(`before: ${thousands(before)}, ${mib(median(usual))}`);
  await stop.begin(victim);
  await pause(GRACE);
  const during = await through(stop.duration - GRACE);
  await stop.end(victim);
  progress(`meanwhile: ${thousands(during)}`);
  await pause(AFTER);
  const sent = (await ask(publisher, "stop")).number("sent");
  const growth = Math.max(...memory.take()) - median(usual);
  const faults = await check(publisher, victim, others, sent);
  const kept = Math.min(
    ...during.map((rate, index) => rate / (before[index] ?? NaN)),
  );
  return {
    figure: [
      `the others had ${kept.toFixed(2)} × (${thousands(before)}, then ${
        thousands(during)
      })`,
      `memory grew by ${mib(growth)}`,
      ...faults,
    ].join("; "),
    held: kept >= TARGET && growth <= MEMORY && faults.length === 0,
  };
}

async function awaitAny(subscribers: readonly Child[]): Promise<void> {
  for (const subscriber of subscribers) {
    await ask(subscriber, "expect", {
      first: FIRST,
      step: 1,
      total: Number.MAX_SAFE_INTEGER,
    });
  }
}

/** What the others lost, and whether the slow one knows what it missed. */
async function check(
  publisher: Child,
  victim: Child,
  others: readonly Child[],
  sent: number,
): Promise<readonly string[]> {
  const faults: string[] = [];
  for (const other of others) {
    const arrived = await ask(other, "arrived", { total: sent });
    const received = arrived.number("received");
    const wrong = arrived.number("wrong");
    if (received === sent && wrong === 0) continue;
    faults.push(`another received ${received} of ${sent}, ${wrong} wrong`);
  }
  const arrived = await ask(victim, "arrived", { total: sent });
  const report = await ask(victim, "report");
  const received = arrived.number("received");
  const missed = report.number("missed");
  const wrong = arrived.number("wrong");
  if (received + missed !== sent || wrong > 0) {
    faults.push(
      `it received ${received} of ${sent}, ${wrong} wrong, and was told that it missed ${missed}`,
    );
  }
  const seen = await ask(publisher, "report");
  const leaves = seen.number("leaves");
  const broken = seen.number("broken");
  if (leaves + broken > 0) {
    faults.push(
      `the publisher saw ${leaves} nodes leave, ${broken} links break`,
    );
  }
  return faults;
}

function reports(nodes: readonly Child[]): Promise<readonly Values[]> {
  return Promise.all(nodes.map((node) => ask(node, "report")));
}

/** Messages per second at each node between two reports. */
function rates(
  start: readonly Values[],
  end: readonly Values[],
): readonly number[] {
  return end.map((report, index) => {
    const earlier = start[index];
    if (earlier === undefined) return NaN;
    const count = report.number("received") - earlier.number("received");
    return count / (report.number("at") - earlier.number("at")) * 1000;
  });
}

/** Looks at the memory of a process all the time. */
class Memory implements Disposable {
  readonly #timer: ReturnType<typeof setInterval>;
  #seen: number[] = [];

  constructor(pid: number) {
    this.#timer = setInterval(() => this.#seen.push(residentOf(pid)), 50);
  }

  /** What was seen since the last time, in MiB. */
  take(): readonly number[] {
    const seen = this.#seen;
    this.#seen = [];
    return seen;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

function thousands(rates: readonly number[]): string {
  return rates.map((rate) => `${Math.round(rate / 1000)} k/s`).join(" and ");
}

function mib(mebibytes: number): string {
  return `${Math.round(mebibytes)} MiB`;
}
