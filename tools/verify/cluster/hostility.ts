import { createNode, type Node } from "@devts/devts";
import { Child } from "../../../bench/child.ts";
import { Others } from "../../../bench/processes.ts";
import { late } from "../late.ts";
import type { Measurement, MeasureOptions, Row } from "../runner.ts";
import { pause, silent } from "../../../bench/serve.ts";

const SEED = 20_261_122;
const HANDSHAKES = 30_000;
const FRAMES = 70_000;
const SHORT = 0.05;
const MEMORY = 16;
const LATENCY = 1_000;
const REQUEST_EVERY = 20;

interface Events {
  echo(value: unknown): unknown;
}

/** A node under a storm of malformed handshakes and frames. */
export const hostility: Row = {
  what: "mutated handshakes and frames against a live node",
  target: `${
    HANDSHAKES + FRAMES
  } of them (fewer in the short form): nothing uncaught, all refusals counted, memory within ${MEMORY} MiB, an honest client served within ${LATENCY} ms`,
  measure,
};

async function measure(
  { short, progress }: MeasureOptions,
): Promise<Measurement> {
  await using processes = new AsyncDisposableStack();
  const target = processes.use(
    new Child(new URL("target.ts", import.meta.url), {
      // It may be told to dial any address, and must not reach beyond this machine.
      flags: ["--allow-net=127.0.0.1", "--allow-env", "--v8-flags=--expose-gc"],
    }),
  );
  const attacker = processes.use(
    new Child(new URL("attacker.ts", import.meta.url)),
  );
  const address = (await target.ask("listen")).text("address");
  const client = processes.use(
    createNode<Events>({ cluster: "verify", id: "client", logger: silent }),
  );
  await client.listen("tcp://127.0.0.1:0");
  await client.join(address);

  const corpus = await attacker.ask("honest", {
    address,
    rounds: 20,
  });
  await target.ask("settle", { members: 1 });
  const before = await residentMemory(target.pid);
  progress(
    `${corpus.number("handshake")} + ${
      corpus.number("frames")
    } honest messages, ${before.toFixed(1)} MiB`,
  );

  const share = short ? SHORT : 1;
  const others = new Others();
  const clientDone = new AbortController();
  const serving = keepRequesting(client, clientDone.signal);
  const attack = await attacker.ask("attack", {
    seed: SEED,
    handshakes: HANDSHAKES * share,
    frames: FRAMES * share,
  });
  clientDone.abort();
  const served = await serving;
  const report = await target.ask("report");
  await target.ask("settle", { members: 1 });
  const after = await residentMemory(target.pid);
  const code = await target.end(5_000);

  const refused = report.number("refused");
  const violations = report.number("violations");
  const broken = report.number("broken");
  const ended = attack.number("refused") + attack.number("stalled") +
    attack.number("ended");
  const figures = {
    uncaught: report.number("uncaught"),
    unanswered: attack.number("unanswered"),
    growth: after - before,
  };
  const figure = [
    `${attack.number("handshakes")} handshakes and ${
      attack.number("frames")
    } frames`,
    `${ended} connections ended, ${refused} refusals, ${violations} violations and ${broken} broken links counted`,
    `${figures.uncaught} uncaught, ${figures.unanswered} unanswered`,
    `${before.toFixed(1)} to ${after.toFixed(1)} MiB`,
    `${served.count} honest requests, ${served.failed} failed${served.reason}, the slowest took ${
      Math.round(served.worst)
    } ms`,
    `exit code ${code}`,
  ].join("; ");
  const held = figures.uncaught === 0 && figures.unanswered === 0 &&
    figures.growth <= MEMORY && served.failed === 0 && code === 0 &&
    refused + violations + broken >= 0.9 * ended;
  return held && served.worst > LATENCY
    ? late(figure, others)
    : { figure, held };
}

/** How an honest client was served. */
interface Served {
  count: number;
  failed: number;
  /** Why the last one that failed did. */
  reason: string;
  /** The slowest, in ms. */
  worst: number;
}

/** Sends one request after the other. */
async function keepRequesting(
  client: Node<Events>,
  signal: AbortSignal,
): Promise<Served> {
  const served = { count: 0, failed: 0, reason: "", worst: 0 };
  while (!signal.aborted) {
    const start = performance.now();
    const number = served.count++;
    try {
      const reply = await client.request("target", "echo", number);
      if (reply !== number) throw new Error(`The reply was ${reply}`);
    } catch (error) {
      served.failed++;
      served.reason = ` (${error})`;
    }
    served.worst = Math.max(served.worst, performance.now() - start);
    await pause(REQUEST_EVERY);
  }
  return served;
}

/** The resident memory of a process, in MiB. */
async function residentMemory(pid: number): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}
