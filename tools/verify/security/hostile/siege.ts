import type { Measurement, MeasureOptions, Row } from "../../runner.ts";
import { Child } from "../../../../bench/child.ts";
import { Others } from "../../../../bench/processes.ts";
import type { Values } from "../../../../bench/values.ts";
import { late } from "../../late.ts";
import { Networks } from "../../routing/networks.ts";
import { all } from "./attack.ts";
import { Memory, type Outcome, SLOWER, startVictim } from "./scene.ts";

/** How long all attacks go on at once, in ms. */
const LONG = 60_000;
const SHORT = 8_000;
/** Where a busy machine attacks slowly, they go on so many times as long as SHORT. */
const LONGER = 6;
/** How long the honest node is served before that, to compare with, in ms. */
const CALM = 2_000;
/** How long it has much to do before that, in ms. */
const BUSY = 2_000;
const LAN = "lan";
const HORDES = ["horde1", "horde2"];
const APART = "horde3";
const HOSTS = ["victim", "honest", "late", ...HORDES, APART, "bystander"];

/** All attacks of some kind at once, from two hosts, on a node that is not on theirs. */
export interface Siege {
  /** What is done. */
  readonly what: string;
  /** What must come of it, beside the bounds. */
  readonly target: string;
  /** The attacks of `horde.ts`, from two hosts. */
  readonly attacks: readonly string[];
  /**
   * Those from a host of their own, which others do not crowd.
   *
   * @default {none}
   */
  readonly apart?: readonly string[];
  /** Whether the cluster has a secret; the horde does not know it. */
  readonly secret: boolean;
  /** In MiB. */
  readonly memory: number;
  /** Whether there was so much of it that its outcome can be looked at. */
  isEnough(seen: Sight): boolean;
  /** Looks at the counters of the victim and of the horde, and at who else was dialled. */
  check(seen: Sight): Outcome;
}

/** What was seen of a siege. */
export interface Sight {
  /** How much a counter of the victim has grown. */
  grown(name: string): number;
  /** What both hosts of the horde have done. */
  done(name: string): number;
  /** How often the machine without a node was dialled. */
  readonly dials: number;
  /** For how long it went on, in s. */
  readonly seconds: number;
  /** How much processor time of the victim it took, in ms, without that of honest requests. */
  readonly cpu: number;
}

/** A siege as a row. */
export function siegeRow(siege: Siege): Row {
  const { what, target, memory } = siege;
  return {
    what,
    target:
      `${target}; memory at most +${memory} MiB, honest p99 at most 250 ms and ${SLOWER} ms more than before, no member lost, a new one joins`,
    async measure(options) {
      const reason = await Networks.unavailable();
      if (reason !== null) {
        return { figure: reason, held: false, skipped: true };
      }
      return await lay(siege, options);
    },
  };
}

async function lay(
  { attacks, apart = [], secret, memory: bound, isEnough, check }: Siege,
  { short, progress }: MeasureOptions,
): Promise<Measurement> {
  await using processes = new AsyncDisposableStack();
  const networks = processes.use(
    await Networks.make(HOSTS.map((name) => ({ name, networks: [LAN] }))),
  );
  const address = (host: string): string => networks.address(host, LAN);
  const key = secret ? crypto.getRandomValues(new Uint8Array(32)).toHex() : "";
  const start = (host: string): Child =>
    processes.use(startVictim([host, key], networks.on(host)));
  const [victim, honest, newcomer] = [
    start("victim"),
    start("honest"),
    start("late"),
  ];

  const tcp = await listen(victim, `tcp://${address("victim")}:0`);
  const quic = secret
    ? await listen(victim, `quic://${address("victim")}:0`)
    : tcp;
  await listen(honest, `tcp://${address("honest")}:0`);
  await honest.ask("join", { address: tcp });
  // What a node needs that has something to do is not what an attack costs.
  await honest.ask("busy", { to: "victim", ms: BUSY });
  await victim.ask("settle");
  const idle = await victim.ask("report");
  const calm = await honest.ask("request", { to: "victim", ms: CALM });
  const before = await victim.ask("report");
  const cpuOfRequest = (before.number("cpu") - idle.number("cpu")) /
    calm.number("count");

  const bystander = processes.use(
    program("bystander.ts", [address("bystander")], networks.on("bystander")),
  );
  const args = [
    address("victim"),
    portOf(tcp),
    portOf(quic),
    address("bystander"),
  ];
  const orders = HORDES.map((host) => ({ host, attacks }));
  if (apart.length > 0) orders.push({ host: APART, attacks: apart });
  const hordes = orders.map(({ host, attacks }) => ({
    attacks,
    // Their processors are not the victim's: they get what is left of this one.
    horde: processes.use(
      program("horde.ts", args, [...networks.on(host), "nice", "-n", "19"]),
    ),
  }));
  await bystander.ask("dials");

  const ms = short ? SHORT : LONG;
  progress(`${attacks.join(", ")} for ${ms / 1_000} s`);
  const memory = new Memory(victim.pid);
  const others = new Others();
  const begun = performance.now();
  for (const { horde, attacks } of hordes) {
    await horde.ask("attack", { attacks: attacks.join() });
  }
  const joining = joins(newcomer, [tcp, quic]);
  const served = { count: 0, failed: 0, p99: 0 };
  const serve = async (ms: number): Promise<void> => {
    const part = await honest.ask("request", { to: "victim", ms });
    served.count += part.number("count");
    served.failed += part.number("failed");
    served.p99 = Math.max(served.p99, part.number("p99"));
  };
  const look = async (order: "counts" | "stop"): Promise<Sight> => {
    const done = await Promise.all(hordes.map(({ horde }) => horde.ask(order)));
    const seconds = (performance.now() - begun) / 1_000;
    const report = await victim.ask("report");
    const dials = (await bystander.ask("dials")).number("dials");
    const grown = (name: string): number =>
      report.number(name) - before.number(name);
    return {
      grown,
      done: (name) => done.reduce((sum, each) => sum + each.number(name), 0),
      ...{ dials, seconds },
      cpu: grown("cpu") - served.count * cpuOfRequest,
    };
  };
  await serve(ms);
  const joined = await joining;
  for (let times = 1; times < LONGER; times++) {
    if (isEnough(await look("counts"))) break;
    progress(`for ${SHORT / 1_000} s more`);
    await serve(SHORT);
  }
  const seen = await look("stop");
  const growth = memory.stop();
  const report = await victim.ask("report");
  const lost = report.text("left").split(",").includes("honest");
  const own = check(seen);
  const isSlow = served.p99 > Math.min(250, calm.number("p99") + SLOWER);
  const bounds = all({
    [`memory +${growth.toFixed(0)} MiB`]: growth <= bound,
    [
      `${served.count} honest requests, ${served.failed} failed, p99 ${
        served.p99.toFixed(0)
      } ms (calm ${calm.number("p99").toFixed(0)} ms)`
    ]: served.failed === 0,
    [`${report.number("uncaught")} uncaught`]: report.number("uncaught") === 0,
    "no member lost": !lost,
    [`a new one joined after ${joined.toFixed(0)} ms`]: joined < 15_000,
  });
  const figure = `${own.figure}; ${bounds.figure}; ${
    seen.seconds.toFixed(0)
  } s, ${(seen.cpu / seen.seconds / 10).toFixed(0)} % of a processor`;
  const held = own.held && bounds.held;
  return held && isSlow ? late(figure, others) : { figure, held };
}

function program(
  name: string,
  args: readonly string[],
  on: readonly string[],
): Child {
  return new Child(new URL(name, import.meta.url), {
    flags: ["-A", "--unstable-net"],
    args,
    runtime: [...on, Deno.execPath(), "run", "--no-check", "--no-prompt"],
  });
}

async function listen(node: Child, address: string): Promise<string> {
  return (await node.ask("listen", { address })).text("address");
}

/** Joins by each address, as an operator would who has a few; after how many ms it was in. */
async function joins(
  node: Child,
  addresses: readonly string[],
): Promise<number> {
  const start = performance.now();
  for (const address of new Set(addresses)) {
    const answer: Values = await node.ask("join", { address });
    if (answer.number("found") > 0) break;
  }
  const members = await node.ask("members", { count: 1, limit: 15_000 });
  return members.number("count") > 0 ? performance.now() - start : Infinity;
}

function portOf(address: string): string {
  return /:(\d+)$/.exec(address)?.[1] ?? "";
}
