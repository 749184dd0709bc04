import type { Measurement, MeasureOptions, Row } from "../runner.ts";
import { Child } from "../../../bench/child.ts";
import { FIRST_ID } from "./item.ts";

const SUBSCRIBERS = 3;
const REPETITIONS = 15;
const TARGET = 0.8;

/** One publisher and its subscribers, each a process. */
interface Party {
  readonly publisher: Child;
  readonly subscribers: readonly Child[];
  published: number;
}

/** What one repetition took. */
interface Sample {
  /** Messages per second, to each subscriber. */
  readonly rate: number;
  /** CPU time per message, in µs. */
  readonly publisherCpu: number;
  readonly subscriberCpu: number;
}

/** Objects of 128 bytes from one publisher to three subscribers, against raw TCP. */
export const throughput: Row = {
  what: "objects of 128 bytes, one publisher to three subscribers",
  target: `at least ${TARGET} of raw Deno TCP with the same codec`,
  measure,
};

async function measure(
  { short, progress }: MeasureOptions,
): Promise<Measurement> {
  await using processes = new AsyncDisposableStack();
  const ours = await devtsParty(processes);
  const raw = await rawParty(processes);
  const count = short ? 300_000 : 1_000_000;
  const samples: { ours: Sample; raw: Sample }[] = [];
  for (let i = 0; i <= REPETITIONS; i++) {
    const sample = { raw: await run(raw, count), ours: await run(ours, count) };
    if (i > 0) samples.push(sample); // the first one warms up
    progress(
      `repetition ${i} of ${REPETITIONS}: ${text(sample.ours)}, raw ${
        text(sample.raw)
      }`,
    );
  }
  const our = medianSample(samples.map(({ ours }) => ours));
  const other = medianSample(samples.map(({ raw }) => raw));
  const ratio = our.rate / other.rate;
  return {
    figure: `${ratio.toFixed(2)} of raw: ${text(our)}; raw ${text(other)}`,
    held: ratio >= TARGET,
  };
}

async function devtsParty(processes: AsyncDisposableStack): Promise<Party> {
  const party = start(processes, "stream.ts");
  const entry = await party.publisher.ask("listen");
  for (const subscriber of party.subscribers) {
    await subscriber.ask("listen");
    await subscriber.ask("join", { address: entry.text("address") });
  }
  const { publisher } = party;
  const linked = await publisher.ask("linked", { nodes: SUBSCRIBERS });
  if (linked.number("nodes") !== SUBSCRIBERS) {
    throw new Error("Not all subscribers joined");
  }
  return party;
}

async function rawParty(processes: AsyncDisposableStack): Promise<Party> {
  const party = start(processes, "raw.ts");
  for (const subscriber of party.subscribers) {
    const listening = await subscriber.ask("listen");
    await party.publisher.ask("connect", { port: listening.number("port") });
  }
  return party;
}

function start(processes: AsyncDisposableStack, program: string): Party {
  const spawn = () =>
    processes.use(new Child(new URL(program, import.meta.url)));
  return {
    publisher: spawn(),
    subscribers: Array.from({ length: SUBSCRIBERS }, spawn),
    published: 0,
  };
}

async function run(party: Party, count: number): Promise<Sample> {
  const { publisher, subscribers } = party;
  const first = FIRST_ID + party.published;
  party.published += count;
  await Promise.all(subscribers.map((one) => one.ask("expect", { count })));
  const published = await publisher.ask("publish", { first, count });
  const arrived = await Promise.all(
    subscribers.map((one) => one.ask("arrived")),
  );
  const sum = count * (2 * first + count - 1) / 2;
  for (const one of arrived) {
    if (one.number("wrong") === 0 && one.number("sum") === sum) continue;
    throw new Error(
      `${one.number("wrong")} objects arrived out of order or malformed`,
    );
  }
  const end = Math.max(...arrived.map((one) => one.number("endedAt")));
  return {
    rate: count / (end - published.number("startedAt")) * 1000,
    publisherCpu: published.number("cpu") / count * 1000,
    subscriberCpu: median(arrived.map((one) => one.number("cpu"))) / count *
      1000,
  };
}

function medianSample(samples: readonly Sample[]): Sample {
  return {
    rate: median(samples.map(({ rate }) => rate)),
    publisherCpu: median(samples.map(({ publisherCpu }) => publisherCpu)),
    subscriberCpu: median(samples.map(({ subscriberCpu }) => subscriberCpu)),
  };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
}

function text({ rate, publisherCpu, subscriberCpu }: Sample): string {
  const cpu = `${publisherCpu.toFixed(2)} / ${subscriberCpu.toFixed(2)} µs CPU`;
  return `${
    Math.round(rate / 1000)
  } k/s (${cpu} per message, publisher / subscriber)`;
}
