import { Child } from "../../../bench/child.ts";
import { residentOf } from "../../../bench/processes.ts";
import { now, pause } from "../../../bench/serve.ts";
import type { Values } from "../../../bench/values.ts";
import type { Measurement, MeasureOptions, Row } from "../runner.ts";

const PROCESSES = 30;
const PROCESSES_SHORT = 10;
/** Time between two events of the sender, in ms. */
const INTERVAL = 10;
/** Entry nodes that a process is told when it starts. */
const ENTRIES = 3;
/** In which all know all, in ms. */
const FORMING = 60_000;
/** In which what was emitted arrives, in ms. */
const ARRIVAL = 15_000;
/** Between two restarts, and before the first and after the last one, in ms. */
const BETWEEN = 200;
const SETTLE = 1_000;

/** A process from its start to its end. */
interface Life {
  readonly id: string;
  readonly child: Child;
  readonly address: string;
  /** From when on it was up, and until when. */
  readonly readyAt: number;
  stopAt: number;
  /** The numbers that came, how many others it gave up, and events it knows it missed. */
  received: readonly number[];
  failed: number;
  missed: number;
}

/** An event that was emitted. */
interface Emitted {
  readonly number: number;
  readonly at: number;
}

/**
 * All processes are restarted, one after the other, while one of them emits 100 events
 * per second; last the sender itself, which goes on where it was.
 *
 * A process is up from the moment at which it says that it is ready, `join` having
 * resolved, until its stop is announced. Then it is given the time to take what was
 * emitted before, and SIGTERM, at which it calls `close`: what is on its way to a node
 * that closes is lost.
 */
export const rollingRestart: Row = {
  what: "a rolling restart of all processes under a steady sender, swim()",
  target:
    "each of 100 events per second once at each process that was up, nobody given up",
  measure,
};

async function measure(
  { short, progress }: MeasureOptions,
): Promise<Measurement> {
  await using rolling = new Rolling(short ? PROCESSES_SHORT : PROCESSES);
  await rolling.form();
  progress(`${rolling.memory()}`);
  await rolling.restartAll(progress);
  return rolling.result();
}

class Rolling implements AsyncDisposable {
  readonly #processes = new AsyncDisposableStack();
  readonly #count: number;
  /** Those that run, by their number; the first one is the sender. */
  readonly #running: Life[] = [];
  readonly #lives: Life[] = [];
  readonly #emitted: Emitted[] = [];
  #memory = "";

  constructor(count: number) {
    this.#count = count;
  }

  /** Starts all, and lets the first one emit. */
  async form(): Promise<void> {
    this.#running.push(await this.#start(0));
    const others = Array.from(
      { length: this.#count - 1 },
      (_, at) => this.#start(at + 1),
    );
    this.#running.push(...await Promise.all(others));
    await this.#untilWhole();
    await this.#emit();
    await pause(SETTLE);
  }

  async restartAll(progress: (text: string) => void): Promise<void> {
    const start = performance.now();
    // The sender comes last.
    for (let at = this.#count - 1; at >= 0; at--) {
      const life = this.#running[at];
      if (life === undefined) continue;
      await this.#stop(life);
      this.#running[at] = await this.#start(at);
      if (at === 0) await this.#emit();
      await pause(BETWEEN);
      const seconds = (performance.now() - start) / 1_000;
      if (at % 10 === 0) {
        progress(
          `${this.#count - at} of ${this.#count} restarted in ${
            seconds.toFixed(0)
          } s`,
        );
      }
    }
    await this.#untilWhole();
    await pause(SETTLE);
    this.#memory = this.memory();
    // The sender first: all that it sent must have arrived when the others stop.
    const [sender, ...others] = this.#running.splice(0);
    if (sender !== undefined) await this.#stop(sender);
    for (const life of others) {
      await untilArrived(life, this.#emitted.length - 1);
      await this.#stop(life);
    }
  }

  /** What they take, in all. */
  memory(): string {
    const sizes = this.#running.map(({ child }) => residentOf(child.pid));
    const total = sizes.reduce((sum, size) => sum + size, 0);
    return `${this.#count} processes of ${
      Math.round(total / sizes.length)
    } MiB`;
  }

  result(): Measurement {
    let due = 0;
    const lost: string[] = [];
    let twice = 0;
    for (const { readyAt, stopAt, received, id } of this.#lives) {
      const times = new Map<number, number>();
      for (const number of received) {
        times.set(number, (times.get(number) ?? 0) + 1);
      }
      for (const count of times.values()) if (count > 1) twice++;
      if (id === nameOf(0)) continue;
      for (const { number, at } of this.#emitted) {
        if (at < readyAt || at >= stopAt) continue;
        due++;
        if (times.has(number)) continue;
        lost.push(
          `${number} at "${id}", ${
            (at - readyAt).toFixed(1)
          } ms after it was up, ${(stopAt - at).toFixed(1)} ms before its stop`,
        );
      }
    }
    const failed = this.#sum(({ failed }) => failed);
    const missed = this.#sum(({ missed }) => missed);
    return {
      figure:
        `${this.#lives.length} lives, ${this.#emitted.length} events, ${due} to arrive: ${lost.length} lost, ${twice} twice, ${missed} told as missed, ${failed} given up; ${this.#memory}${
          lost.slice(0, 3).map((one) => `; lost: ${one}`).join("")
        }`,
      held: due > 0 && lost.length === 0 && twice === 0 && failed === 0,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#processes.disposeAsync();
  }

  #sum(of: (life: Life) => number): number {
    return this.#lives.reduce((sum, life) => sum + of(life), 0);
  }

  async #start(at: number): Promise<Life> {
    const id = nameOf(at);
    const child = this.#processes.use(
      new Child(new URL("member.ts", import.meta.url), { args: [id] }),
    );
    const address = (await child.ask("listen")).text("address");
    const entries = this.#running.filter((life) => life.id !== id)
      .slice(-ENTRIES).map((life) => life.address);
    if (entries.length > 0) {
      await child.ask("join", { entries: entries.join() });
    }
    const life: Life = {
      ...{ id, child, address, readyAt: now(), stopAt: Infinity },
      ...{ received: [], failed: 0, missed: 0 },
    };
    this.#lives.push(life);
    return life;
  }

  async #stop(life: Life): Promise<void> {
    life.stopAt = now();
    const sender = this.#running[0];
    if (sender !== undefined && sender !== life) {
      const last = (await sender.child.ask("sent")).number("last");
      await untilArrived(life, last);
    }
    Deno.kill(life.child.pid, "SIGTERM");
    const report = await life.child.ask("report");
    life.received = numbers(report, "received");
    life.failed = report.number("failed");
    life.missed = report.number("missed");
    for (const at of numbers(report, "sentAt")) {
      this.#emitted.push({ number: this.#emitted.length, at });
    }
    await life.child.end(5_000);
  }

  async #emit(): Promise<void> {
    await this.#running[0]?.child.ask("emit", {
      first: this.#emitted.length,
      interval: INTERVAL,
    });
  }

  async #untilWhole(): Promise<void> {
    const count = this.#count - 1;
    await Promise.all(this.#running.map(async ({ id, child }) => {
      const answer = await child.ask("members", { count, limit: FORMING });
      if (answer.number("count") === count) return;
      throw new Error(
        `"${id}" knows ${answer.number("count")} of ${count} others`,
      );
    }));
  }
}

/** Gives a process the time to take what was emitted, up to a number. */
async function untilArrived({ child }: Life, last: number): Promise<void> {
  await child.ask("received", { last, limit: ARRIVAL });
}

function nameOf(at: number): string {
  return `node-${at}`;
}

function numbers(values: Values, name: string): number[] {
  const text = values.text(name);
  return text === "" ? [] : text.split(",").map(Number);
}
