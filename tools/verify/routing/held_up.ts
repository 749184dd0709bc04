import { Child } from "../../../bench/child.ts";
import { pause } from "../../../bench/serve.ts";
import type { Measurement, MeasureOptions, Row } from "../runner.ts";
import { quota } from "./quota.ts";

const PROCESSES = 8;
/** The part of a processor that each has. */
const PART = 0.1;
/** What each has to do besides, in ms of processor time every 100 ms: more than it has. */
const WORK = 10;
const LENGTH = 600_000;
const LENGTH_SHORT = 10_000;
/** Time between two events of each process, in ms. */
const INTERVAL = 100;
/** How long a process is stopped, and how many are, in the full form and the short one. */
const STOP = 3_000;
const STOPS: readonly [full: number, short: number] = [8, 2];
/** In which all know all, in ms. */
const FORMING = 30_000;
/** Between two looks, in ms. */
const LOOK = 5_000;

/** Eight processes that hardly get to run: nobody may be given up. */
export const throttled: Row = {
  what: `${PROCESSES} processes at ${
    100 * PART
  } % CPU quota beside a CPU hog, swim()`,
  target: "nobody given up in 10 minutes",
  measure: async ({ short, progress }) => {
    await using held = await quota(PART);
    await using cluster = await Cluster.start();
    await using hogs = new AsyncDisposableStack();
    for (let at = 0; at < navigator.hardwareConcurrency; at++) {
      hogs.use(new Child(new URL("hog.ts", import.meta.url)));
    }
    for (const member of cluster.members) {
      await held.add(member.pid);
      await member.ask("work", { length: WORK });
    }
    const length = short ? LENGTH_SHORT : LENGTH;
    for (let passed = 0; passed < length; passed += LOOK) {
      await pause(LOOK);
      progress(`${(passed + LOOK) / 1_000} s: ${await cluster.state()}`);
    }
    const state = await cluster.result();
    return {
      ...state,
      figure: `${state.figure}; ${
        length / 1_000
      } s by ${held.means}, held up ${await held
        .times()} times`,
    };
  },
};

/** A process that is stopped for 3 s must not be given up. */
export const stopped: Row = {
  what: `a process of ${PROCESSES} is stopped (SIGSTOP) for ${
    STOP / 1_000
  } s, swim()`,
  target: "nobody given up",
  measure: async ({ short }: MeasureOptions): Promise<Measurement> => {
    await using cluster = await Cluster.start();
    const times = STOPS[short ? 1 : 0];
    for (const { pid } of cluster.members.slice(0, times)) {
      Deno.kill(pid, "SIGSTOP");
      await pause(STOP);
      Deno.kill(pid, "SIGCONT");
      await pause(STOP / 2);
    }
    const state = await cluster.result();
    return { ...state, figure: `${times} stops: ${state.figure}` };
  },
};

/** Members that emit at a steady pace. */
class Cluster implements AsyncDisposable {
  readonly #processes = new AsyncDisposableStack();
  readonly members: readonly Child[];

  private constructor() {
    this.members = Array.from(
      { length: PROCESSES },
      (_, at) =>
        this.#processes.use(
          new Child(new URL("member.ts", import.meta.url), {
            args: [`node-${at}`],
          }),
        ),
    );
  }

  static async start(): Promise<Cluster> {
    const cluster = new Cluster();
    try {
      await cluster.#form();
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** How it stands, for a person. */
  async state(): Promise<string> {
    return (await this.result()).figure;
  }

  /** Whether all have all others still, and never gave up one. */
  async result(): Promise<Measurement> {
    const states = await Promise.all(
      this.members.map((one) => one.ask("state")),
    );
    const sum = (name: string) =>
      states.reduce((total, state) => total + state.number(name), 0);
    const failed = sum("failed");
    const lag = Math.max(...states.map((state) => state.number("lag")));
    const views = sum("members");
    const whole = PROCESSES * (PROCESSES - 1);
    return {
      figure: `${failed} given up, ${views} of ${whole} views, ${
        sum("missed")
      } events told as missed, timers up to ${Math.round(lag)} ms late`,
      held: failed === 0 && views === whole,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#processes.disposeAsync();
  }

  async #form(): Promise<void> {
    const [first, ...others] = this.members;
    const address = (await first?.ask("listen"))?.text("address") ?? "";
    await Promise.all(others.map(async (one) => {
      await one.ask("listen");
      await one.ask("join", { entries: address });
    }));
    const count = PROCESSES - 1;
    await Promise.all(this.members.map(async (one) => {
      await one.ask("members", { count, limit: FORMING });
      await one.ask("emit", { first: 0, interval: INTERVAL });
    }));
  }
}
