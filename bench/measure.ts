import { type Figures, fitting, median, medians } from "./figures.ts";
import { FIRST } from "./payload.ts";
import type { Kind, Party, Peer } from "./peer.ts";
import { cpuOf, residentOf } from "./processes.ts";

/** What is measured: the name is for a person, and unique. */
export type Work = Broadcast | Requests;

/** One publisher sends to subscribers that all get everything. */
export interface Broadcast {
  readonly type: "broadcast";
  readonly name: string;
  readonly kind: Kind;
  readonly subscribers: number;
}

/** One client requests 128 bytes of one server, which returns them. */
export interface Requests {
  readonly type: "requests";
  readonly name: string;
  /** How many requests wait for their reply at the same time. */
  readonly inFlight: number;
  /** Whether the client stays on processor 0 and the server on processor 1. */
  readonly pinned: boolean;
}

/** Options of {@linkcode measure}. */
export interface MeasureOptions {
  /** How often each peer takes its turn, after the warm-up. */
  readonly repetitions: number;
  /**
   * How long a turn should take, in ms: so many messages are sent as that takes.
   *
   * @default {1_000}
   */
  readonly duration?: number;
  /** How many messages are sent in a turn, instead. */
  readonly count?: number;
  /** Tells a person how far it is. */
  progress(text: string): void;
}

/** What a peer came to. */
export interface Result {
  /** Its name. */
  readonly peer: string;
  /** Messages in each turn. */
  readonly count: number;
  /** What each turn came to. */
  readonly samples: readonly Figures[];
  /** The medians of that; empty where it failed. */
  readonly medians: Figures;
  /** Why it failed, where it did. */
  readonly failure?: string;
}

/** No turn, and no start, takes longer, in ms. */
const TIMEOUT = 60_000;
/** The first probe, in messages. */
const PROBE = 200;

/**
 * Measures a work: starts the peers one after the other, lets each warm up, and then
 * lets each take its turn in every repetition. One that fails is left out from then on.
 *
 * @returns A result for each peer that does this work, in their order.
 */
export async function measure(
  work: Work,
  peers: readonly Peer[],
  options: MeasureOptions,
): Promise<readonly Result[]> {
  const { repetitions, progress } = options;
  await using all = new AsyncDisposableStack();
  const entrants = peers.filter((peer) => does(peer, work)).map((peer) =>
    all.use(new Entrant(peer, work))
  );
  for (const entrant of entrants) {
    await entrant.attempt(() => entrant.start());
  }
  for (const entrant of entrants) {
    await entrant.attempt(() => entrant.warmUp(options));
    progress(`warm-up: ${entrant.summary}`);
  }
  for (let repetition = 0; repetition < repetitions; repetition++) {
    for (const entrant of rotated(entrants, repetition)) {
      await entrant.attempt(() => entrant.takeTurn());
    }
    const summaries = entrants.map(({ summary }) => summary).join(", ");
    progress(
      `repetition ${repetition + 1} of ${repetitions}: ${summaries}`,
    );
  }
  return entrants.map((entrant) => entrant.result());
}

/** Whether a peer can do a work. */
function does(peer: Peer, work: Work): boolean {
  return work.type === "requests"
    ? peer.requests
    : peer.kinds.includes(work.kind);
}

/** The same, from another one on: nobody always follows the same neighbour first. */
function rotated<T>(values: readonly T[], by: number): readonly T[] {
  const start = by % Math.max(1, values.length);
  return [...values.slice(start), ...values.slice(0, start)];
}

/** A peer at work. */
class Entrant implements AsyncDisposable {
  readonly #peer: Peer;
  readonly #work: Work;
  readonly #processes = new AsyncDisposableStack();
  readonly #samples: Figures[] = [];
  #party: Party | null = null;
  #next = FIRST;
  #count = 0;
  #last: Figures = {};
  #failure: string | null = null;

  constructor(peer: Peer, work: Work) {
    this.#peer = peer;
    this.#work = work;
  }

  /** What it came to last, for a person. */
  get summary(): string {
    const rate = Math.round(this.#last.rate ?? NaN).toLocaleString("en");
    return `${this.#peer.name} ${this.#failure ?? `${rate}/s`}`;
  }

  /** Does something, in time, unless it has failed; where that throws, it has failed. */
  async attempt(step: () => Promise<void>): Promise<void> {
    if (this.#failure !== null) return;
    try {
      await inTime(step());
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#failure = `failed: ${reason}`;
      await this[Symbol.asyncDispose]();
    }
  }

  /** Starts its processes. */
  async start(): Promise<void> {
    const work = this.#work;
    this.#party = work.type === "requests"
      ? await this.#peer.start(this.#processes, 1, { pinned: work.pinned })
      : await this.#peer.start(this.#processes, work.subscribers);
  }

  /** Finds out how many messages fit a turn, unless that is set, and sends so many. */
  async warmUp({ count, duration = 1_000 }: MeasureOptions): Promise<void> {
    this.#count = count ?? await this.#probe(duration);
    this.#last = await this.#run();
    // It is faster now than it was at first.
    this.#count = count ?? fitting(this.#last.rate ?? 1, duration);
  }

  /** Sends as many messages as a turn has. */
  async takeTurn(): Promise<void> {
    this.#last = await this.#run();
    this.#samples.push(this.#last);
  }

  /** What it came to. */
  result(): Result {
    const result = {
      peer: this.#peer.name,
      count: this.#count,
      samples: this.#samples,
    };
    return this.#failure === null
      ? { ...result, medians: medians(this.#samples) }
      : { ...result, medians: {}, failure: this.#failure };
  }

  /** Ends its processes. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#processes.disposeAsync();
  }

  async #probe(duration: number): Promise<number> {
    for (this.#count = PROBE;; this.#count *= 4) {
      const { rate = NaN } = await this.#run();
      if (4_000 * this.#count / rate >= duration) {
        return fitting(rate, duration);
      }
    }
  }

  async #run(): Promise<Figures> {
    const party = this.#party;
    if (party === null) throw new Error("It has not started");
    const brokerCpu = party.broker && cpuOf(party.broker.pid);
    const count = this.#count;
    const figures = this.#work.type === "requests"
      ? await request(party, count, this.#work.inFlight)
      : await broadcast(party, this.#work.kind, this.#next, count);
    this.#next += count;
    return {
      ...figures,
      ...memory(party),
      ...party.broker && brokerCpu !== undefined && {
        brokerCpu: (cpuOf(party.broker.pid) - brokerCpu) / count * 1_000,
        brokerMemory: residentOf(party.broker.pid),
      },
    };
  }
}

/** @throws {Error} If not everything arrived once, whole and in order. */
async function broadcast(
  { publisher, subscribers }: Party,
  kind: Kind,
  first: number,
  count: number,
): Promise<Figures> {
  const expected = { kind, first, count };
  await Promise.all(subscribers.map((one) => one.ask("expect", expected)));
  const published = await publisher.ask("publish", expected);
  const arrived = await Promise.all(
    subscribers.map((one) => one.ask("arrived")),
  );
  // Programs of earlier commits, which are measured too, do not count from the first one.
  const sums = [count * (count - 1) / 2, count * (2 * first + count - 1) / 2];
  for (const one of arrived) {
    if (one.number("wrong") === 0 && sums.includes(one.number("sum"))) continue;
    throw new Error(
      `${
        one.number("wrong")
      } of ${count} messages were lost, doubled, out of order or not what was sent`,
    );
  }
  const end = Math.max(...arrived.map((one) => one.number("endedAt")));
  const subscriberCpu = median(arrived.map((one) => one.number("cpu")));
  return {
    rate: count / (end - published.number("startedAt")) * 1_000,
    publisherCpu: published.number("cpu") / count * 1_000,
    subscriberCpu: subscriberCpu / count * 1_000,
  };
}

/** @throws {Error} If a reply was not what was sent. */
async function request(
  { publisher, subscribers: [server] }: Party,
  count: number,
  inFlight: number,
): Promise<Figures> {
  const before = server ? cpuOf(server.pid) : NaN;
  const answer = await publisher.ask("request", { count, inFlight });
  const serverCpu = server ? cpuOf(server.pid) - before : NaN;
  const wrong = answer.number("wrong");
  if (wrong > 0) throw new Error(`${wrong} of ${count} replies were wrong`);
  const elapsed = answer.number("endedAt") - answer.number("startedAt");
  return {
    rate: count / elapsed * 1_000,
    publisherCpu: answer.number("cpu") / count * 1_000,
    subscriberCpu: serverCpu / count * 1_000,
    p50: answer.number("p50"),
    p99: answer.number("p99"),
  };
}

function memory({ publisher, subscribers }: Party): Figures {
  return {
    publisherMemory: residentOf(publisher.pid),
    subscriberMemory: median(subscribers.map(({ pid }) => residentOf(pid))),
  };
}

async function inTime(step: Promise<void>): Promise<void> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new Error(`it took more than ${TIMEOUT / 1_000} s`)),
    TIMEOUT,
  );
  try {
    await Promise.race([step, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
