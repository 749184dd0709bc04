import { createSecret, secretText } from "@devts/protocol/secret";
import { Child } from "../../../bench/child.ts";
import { devtsOver } from "../../../bench/devts_peer.ts";
import { measure, type Work } from "../../../bench/measure.ts";
import { rawOver } from "../../../bench/raw_peer.ts";
import { Others } from "../../../bench/processes.ts";
import { now, pause } from "../../../bench/serve.ts";
import { late } from "../late.ts";
import type { Measurement, MeasureOptions, Row } from "../runner.ts";
import { shared } from "../speed/shared.ts";
import { together } from "../together.ts";
import { LossyNetwork } from "./lossy.ts";

const CHURN = new URL("churn.ts", import.meta.url);
const MEMBER = new URL("pair_member.ts", import.meta.url);
/** Connections that are opened and closed, in the full form and the short one. */
const CONNECTIONS: readonly [full: number, short: number] = [10_000, 200];
/** Before the first look: so many have used every path once. */
const WARM_UP = 300;
/** A part of the heap that may be left of them. */
const HEAP = 0.05;
const FILES = 2;

/** After how long without a packet a QUIC peer counts as dead, in ms: the default, and short. */
const IDLES = [15_000, 3_000] as const;
/** A round of probes of the membership, in ms. */
const PROBE = 1_000;
const GRACE = 1_000;
const SIGNALS = ["SIGKILL", "SIGSTOP", "SIGTERM"] as const;

/** How long it takes a packet between two hosts, in ms. */
const DELAY = 20;
const LOSSES: readonly [full: number, short: number] = [600_000, 8_000];
const HEAVY_LOSSES: readonly [full: number, short: number] = [60_000, 5_000];
const RECOVERY = 30_000;

/** How many times as fast as the runtime alone a connection that encrypts is, at least. */
const RATIO = 0.85;

/**
 * Requests in a turn: so many that both are compiled, however long that takes. By time, a
 * machine with other work to do would compare programs that have just begun.
 */
const REQUESTS = 10_000;

/** What is left of connections, who is missed when, and what encryption costs. */
export const transports: readonly Row[] = [
  ...["tcp", "tls", "quic", "websocket"].map(churned),
  ...IDLES.flatMap((idle) => SIGNALS.map((signal) => signalled(signal, idle))),
  ...together(["tcp", "quic"].map(lossy)),
  ...(["tls", "quic"] as const).flatMap((carrier) => [
    compared(carrier, {
      type: "broadcast",
      name: "128 B objects, 1 to 3",
      kind: "object128",
      subscribers: 3,
    }, "rate"),
    compared(carrier, {
      type: "requests",
      name: "requests, one after the other",
      inFlight: 1,
      pinned: true,
    }, "p50"),
  ]),
];

/** Connections that are opened and closed leave nothing. */
function churned(transport: string): Row {
  return {
    what: `${
      CONNECTIONS[0].toLocaleString("en")
    } connects and closes, ${transport}`,
    target: `open files ±${FILES}, heap ±${100 * HEAP} %`,
    measure: async ({ short, progress }) => {
      const count = CONNECTIONS[short ? 1 : 0];
      await using child = new Child(CHURN, {
        flags: ["-A", "--unstable-net", "--v8-flags=--expose-gc"],
        args: [transport, secretText(createSecret())],
      });
      await child.ask("run", { count: WARM_UP });
      const before = await child.ask("inUse");
      for (let done = 0; done < count; done += count / 10) {
        await child.ask("run", { count: count / 10 });
        if (!short) progress(`${done + count / 10} connections`);
      }
      const after = await child.ask("inUse");
      const files = after.number("files") - before.number("files");
      const heap = after.number("heap") / before.number("heap") - 1;
      return {
        figure: `${count} connections: ${signed(files)} files, heap ${
          signed(Math.round(1_000 * heap) / 10)
        } %`,
        held: Math.abs(files) <= FILES && Math.abs(heap) <= HEAP,
      };
    },
  };
}

type Signal = "SIGKILL" | "SIGSTOP" | "SIGTERM";

/**
 * What each signal came to: all at the same time, since most of it is waiting, and once
 * all programs run, so that none that starts is in the way.
 */
const afterSignals = shared(async () => {
  await using pairs = new AsyncDisposableStack();
  const hosts = ["127.0.0.1", "127.0.0.1"] as const;
  const running: { signal: Signal; idle: number; pair: Pair }[] = [];
  for (const idle of IDLES) {
    for (const signal of SIGNALS) {
      const pair = pairs.use(await Pair.start("quic", hosts, { idle }));
      running.push({ signal, idle, pair });
    }
  }
  const others = new Others();
  const all = await Promise.all(running.map(async ({ signal, idle, pair }) => ({
    ...{ signal, idle },
    ...await afterSignal(pair, signal, idle),
  })));
  return { all, others: { share: others.share } };
});

/** A peer that says nothing any more is missed; one that is told to end says goodbye. */
function signalled(signal: Signal, idle: number): Row {
  const isTold = signal === "SIGTERM";
  const limit = isTold ? GRACE : missed(idle);
  const seconds = idle / 1_000;
  return {
    what: `${signal} of a QUIC peer` +
      (idle === IDLES[0] ? "" : `, idle time ${seconds} s`),
    target: isTold
      ? `it says goodbye within ${GRACE / 1_000} s`
      : `missed within ${
        limit / 1_000
      } s: the idle time of ${seconds} s, a probe, and 1 s`,
    measure: async (options) => {
      const { all, others } = await afterSignals(options);
      const { reason = "", took = NaN } =
        all.find((one) => one.signal === signal && one.idle === idle) ?? {};
      const isRight = reason === (isTold ? "left" : "failed");
      const figure = isRight ? `${(took / 1_000).toFixed(2)} s` : reason;
      if (isRight && took > limit) return late(figure, others);
      return { figure, held: isRight };
    },
  };
}

function missed(idle: number): number {
  return idle + PROBE + GRACE;
}

async function afterSignal(
  { members: [watcher, peer] }: Pair,
  signal: Signal,
  idle: number,
): Promise<{ readonly reason: string; readonly took: number }> {
  const at = now();
  Deno.kill(peer.pid, signal);
  const left = await watcher.ask("left", { limit: 4 * missed(idle) });
  return { reason: left.text("reason"), took: left.number("at") - at };
}

/** Loss is no reason to give up a peer, and leaves nothing behind. */
function lossy(scheme: string): Row {
  const delay = `${DELAY} ms delay`;
  return {
    what: `loss of 10 % and 30 % with ${delay}, ${scheme}`,
    target: `no false death at 10 %; reached again within ${
      RECOVERY / 1_000
    } s after 30 %`,
    measure: async (options) => {
      let network: LossyNetwork;
      try {
        network = await LossyNetwork.make(DELAY);
      } catch (error) {
        return {
          figure: `needs root, network namespaces and Python: ${error}`,
          held: false,
          skipped: true,
        };
      }
      await using _network = network;
      return await lose(network, scheme, options);
    },
  };
}

async function lose(
  network: LossyNetwork,
  scheme: string,
  { short, progress }: MeasureOptions,
): Promise<Measurement> {
  const [length, heavyLength] = short
    ? [LOSSES[1], HEAVY_LOSSES[1]]
    : [LOSSES[0], HEAVY_LOSSES[0]];
  await using pair = await Pair.start(scheme, LossyNetwork.ADDRESSES, {
    network,
  });
  for (const member of pair.members) {
    await member.ask("emit", { interval: 100 });
  }
  await network.lose(0.1);
  progress(`10 % for ${length / 1_000} s`);
  await pause(length);
  const { failed, received } = await pair.state();
  await network.lose(0.3);
  progress(`30 % for ${heavyLength / 1_000} s`);
  await pause(heavyLength);
  await network.lose(0);
  const end = now();
  const met = await pair.meet(RECOVERY);
  const recovery = now() - end;
  return {
    figure: `${failed} false deaths and ${received} events at 10 %; ${
      met
        ? `reached again after ${(recovery / 1_000).toFixed(1)} s`
        : "not reached again"
    }`,
    held: failed === 0 && received > 0 && met && recovery <= RECOVERY,
  };
}

/** Encrypted connections against those of the runtime alone, in the same run. */
function compared(
  carrier: "tls" | "quic",
  work: Work,
  what: "rate" | "p50",
): Row {
  const name = carrier.toUpperCase();
  return {
    what: `${work.name}, over ${name}${what === "p50" ? ", p50" : ""}`,
    target: `at least ${RATIO} × raw Deno ${name}`,
    measure: async ({ short, progress }) => {
      if (short) {
        const figure =
          "a ratio of a short time says nothing: the full form has it";
        return { figure, held: false, skipped: true };
      }
      const isRequests = work.type === "requests";
      const secret = secretText(createSecret());
      const [theirs, ours] = await measure(
        work,
        [rawOver(carrier, secret), devtsOver(carrier, secret)],
        { repetitions: 9, progress, ...(isRequests && { count: REQUESTS }) },
      );
      const failure = theirs?.failure ?? ours?.failure;
      if (failure !== undefined) return { figure: failure, held: false };
      const [raw = NaN, devts = NaN] = [theirs, ours].map((result) =>
        result?.medians[what]
      );
      const ratio = what === "rate" ? devts / raw : raw / devts;
      const unit = what === "rate" ? "/s" : " µs";
      return {
        figure: `${ratio.toFixed(2)} ×: ${Math.round(devts)}${unit}, raw ${
          Math.round(raw)
        }${unit}`,
        held: ratio >= RATIO,
      };
    },
  };
}

/** Two nodes, each a process, that know each other. */
class Pair implements AsyncDisposable {
  readonly members: readonly [Child, Child];

  private constructor(members: readonly [Child, Child]) {
    this.members = members;
  }

  static async start(
    scheme: string,
    hosts: readonly [string, string],
    { network, idle = IDLES[0] }: {
      readonly network?: LossyNetwork;
      readonly idle?: number;
    },
  ): Promise<Pair> {
    const secret = secretText(createSecret());
    const spawn = (at: 0 | 1) =>
      new Child(MEMBER, {
        flags: ["-A", "--unstable-net"],
        args: [`node-${at}`, scheme, secret, String(idle)],
        ...(network && {
          runtime: [...network.on(at), Deno.execPath(), "run", "--no-check"],
        }),
      });
    const pair = new Pair([spawn(0), spawn(1)]);
    try {
      await pair.#form(hosts);
      return pair;
    } catch (error) {
      await pair[Symbol.asyncDispose]();
      throw error;
    }
  }

  async state(): Promise<{ failed: number; received: number }> {
    const states = await Promise.all(
      this.members.map((member) => member.ask("state")),
    );
    const sum = (name: string) =>
      states.reduce((total, state) => total + state.number(name), 0);
    return { failed: sum("failed"), received: sum("received") };
  }

  /** Whether each has an answer of the other one within so many ms. */
  async meet(limit: number): Promise<boolean> {
    const answers = await Promise.all(
      this.members.map((member) => member.ask("meet", { limit })),
    );
    return answers.every((answer) => answer.number("met") === 1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      this.members.map((member) => member[Symbol.asyncDispose]()),
    );
  }

  async #form(hosts: readonly [string, string]): Promise<void> {
    const [one, two] = this.members;
    const address = (await one.ask("listen", { host: hosts[0] }))
      .text("address");
    await two.ask("listen", { host: hosts[1] });
    const found = (await two.ask("join", { address })).number("found");
    if (found !== 1 || !await this.meet(60_000)) {
      throw new Error("The two nodes did not meet");
    }
  }
}

function signed(number: number): string {
  return number < 0 ? String(number) : `+${number}`;
}
