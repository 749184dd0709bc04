import { freePort } from "../../../bench/peers/broker.ts";
import { Child } from "../../../bench/child.ts";
import { pause } from "../../../bench/serve.ts";
import type { Measurement, MeasureOptions, Row } from "../runner.ts";
import { NatsServer } from "./nats_server.ts";

const PROCESSES = 4;
/** Time between two events of each process, in ms. */
const INTERVAL = 10;
/** How long the server is gone: so long that others are waited for, and longer, in ms. */
const OUTAGES: readonly number[] = [2_000, 10_000];
/** How long there is a server before, in between and after, in ms. */
const BETWEEN = 3_000;
/** In which all know all again, in ms. */
const RECOVERY = 15_000;
/** In which what waited arrives, and is told as missed otherwise: at least, and at most, in ms. */
const ARRIVAL = 3_000;
const ARRIVAL_MOST = 15_000;
const LOOK = 200;

/** What was handed on for all others, and what became of it. */
interface Sum {
  sent: number;
  handed: number;
  received: number;
  missed: number;
  /** Pairs of nodes between which that does not add up. */
  unexplained: string[];
  wrong: number;
}

/** A real NATS server that is killed and started again, under nodes that go on emitting. */
export const natsOutage: Row = {
  what: "a NATS server is killed and started again under a steady load",
  target:
    `all know all within ${RECOVERY} ms; of what was handed on, each node got it or was told that it missed it`,
  measure: async (options) => {
    const why = await NatsServer.unavailable();
    if (why !== null) return { figure: why, held: false, skipped: true };
    await using server = new NatsServer({
      port: freePort(),
      clusterPort: freePort(),
    });
    await using processes = new AsyncDisposableStack();
    return await measure(server, processes, options);
  },
};

async function measure(
  server: NatsServer,
  processes: AsyncDisposableStack,
  { progress }: MeasureOptions,
): Promise<Measurement> {
  await server.start();
  const members = Array.from({ length: PROCESSES }, (_, at) =>
    processes.use(
      new Child(new URL("member.ts", import.meta.url), {
        args: [nameOf(at), "nats", server.url],
      }),
    ));
  await Promise.all(members.map((one) => one.ask("join", { entries: "" })));
  await untilWhole(members);
  for (const one of members) {
    await one.ask("emit", { first: 0, interval: INTERVAL });
  }
  const recoveries: string[] = [];
  for (const outage of OUTAGES) {
    await pause(BETWEEN);
    await server.kill();
    await pause(outage);
    await server.start();
    const start = performance.now();
    await untilWhole(members);
    const recovery = Math.round(performance.now() - start);
    recoveries.push(`${outage / 1_000} s: ${recovery} ms`);
    progress(`all know all again, after ${recoveries.at(-1)}`);
  }
  await pause(BETWEEN);
  await Promise.all(members.map((one) => one.ask("stop")));
  await pause(ARRIVAL);
  const sum = await explained(members);
  const { sent, handed, received, missed, unexplained, wrong } = sum;
  return {
    figure: `whole again after an outage of ${
      recoveries.join(", of ")
    }; ${sent} emitted, ${handed} of them handed on for all ${
      PROCESSES - 1
    } others: ${received} received, ${missed} told as missed, ${wrong} twice or out of order${
      unexplained.map((one) => `; ${one}`).join("")
    }`,
    held: wrong === 0 && unexplained.length === 0 && received > 0,
  };
}

/** @throws {Error} If one does not know all others in time. */
async function untilWhole(members: readonly Child[]): Promise<void> {
  const count = members.length - 1;
  for (const [at, one] of members.entries()) {
    const answer = await one.ask("members", { count, limit: RECOVERY });
    if (answer.number("count") === count) continue;
    throw new Error(
      `"${nameOf(at)}" knows ${answer.number("count")} of ${count} others`,
    );
  }
}

/** Sums up once nothing is unexplained, or it has been for too long. */
async function explained(members: readonly Child[]): Promise<Sum> {
  const end = performance.now() + ARRIVAL_MOST - ARRIVAL;
  for (;;) {
    const sum = await sumUp(members);
    if (sum.unexplained.length === 0 || performance.now() > end) return sum;
    await pause(LOOK);
  }
}

async function sumUp(members: readonly Child[]): Promise<Sum> {
  const nodes = members.length - 1;
  const sum: Sum = {
    ...{ sent: 0, handed: 0, received: 0, missed: 0, wrong: 0 },
    unexplained: [],
  };
  for (const [from, sender] of members.entries()) {
    const emitted = await sender.ask("emitted", { nodes });
    const handed = emitted.number("handed");
    sum.sent += emitted.number("sent");
    sum.handed += handed;
    for (const [to, receiver] of members.entries()) {
      if (to === from) continue;
      const tally = await receiver.ask("tally", { from: nameOf(from) });
      const [count, missed] = [tally.number("count"), tally.number("missed")];
      sum.received += count;
      sum.missed += missed;
      sum.wrong += tally.number("wrong");
      if (handed <= count + missed) continue;
      sum.unexplained.push(
        `of ${handed} of "${nameOf(from)}", "${
          nameOf(to)
        }" got ${count} and missed ${missed}`,
      );
    }
  }
  return sum;
}

function nameOf(at: number): string {
  return `node-${at}`;
}
