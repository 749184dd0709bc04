import { createNode, type Node } from "@devts/devts";
import type { Introduction } from "@devts/protocol";
import { createSecret } from "@devts/protocol/secret";
import { v1 } from "@devts/protocol/v1";
import { incarnationAt } from "@devts/routing";
import { Child } from "../../../../bench/child.ts";
import { Others, residentOf } from "../../../../bench/processes.ts";
import { percentiles } from "../../../../bench/requests.ts";
import { pause, silent } from "../../../../bench/serve.ts";
import type { Values } from "../../../../bench/values.ts";
import { Stranger } from "../../cluster/stranger.ts";
import { late } from "../../late.ts";
import type { Measurement } from "../../runner.ts";
import type { Events } from "./events.ts";

const protocol = v1();
/** How often the honest node requests something, in ms. */
const REQUEST_EVERY = 2;
/** Requests that say how an honest node is served, at least. */
const ENOUGH = 200;
/** How much longer an honest request may take than without an attack, at the 99th percentile, in ms. */
export const SLOWER = 200;

/** How a node that is attacked is run. */
export interface VictimOptions {
  /** How many files it may have open; none: as many as usual. */
  readonly descriptors?: number;
  /** How long a handshake may take, in ms; none: as long as usual. */
  readonly handshakeTime?: number;
  /** Whether its cluster has a secret, which strangers do not know; it has QUIC too then. */
  readonly isSecret?: boolean;
}

/** A node that is attacked, with an honest one beside it that goes on requesting. */
export class Scene implements AsyncDisposable {
  readonly victim: Child;
  readonly honest: Node<Events>;
  readonly hostname: string;
  readonly port: number;
  /** What strangers do not know; none: there is none. */
  readonly secret: Uint8Array | undefined;
  readonly #calm: Served;
  readonly #service: Service;
  readonly #memory: Memory;
  readonly #others = new Others();
  readonly #before: Values;

  private constructor(
    victim: Child,
    honest: Node<Events>,
    address: URL,
    calm: Served,
    service: Service,
    memory: Memory,
    before: Values,
    secret: Uint8Array | undefined,
  ) {
    this.victim = victim;
    this.honest = honest;
    this.hostname = address.hostname;
    this.port = Number(address.port);
    this.#calm = calm;
    this.#service = service;
    this.#memory = memory;
    this.#before = before;
    this.secret = secret;
  }

  /** Starts both, and lets them come to rest. */
  static async open(
    { descriptors, handshakeTime = 5_000, isSecret = false }: VictimOptions =
      {},
  ): Promise<Scene> {
    const secret = isSecret ? createSecret() : undefined;
    const victim = startVictim(
      [
        "victim",
        secret?.toHex() ?? "",
        String(2 ** 20),
        String(handshakeTime),
      ],
      descriptors === undefined
        ? []
        : ["bash", "-c", `ulimit -n ${descriptors}; exec "$0" "$@"`],
    );
    const honest = createNode<Events>({
      cluster: "verify",
      id: "honest",
      logger: silent,
      ...secret && { secret },
    });
    try {
      const address = (await victim.ask("listen", {
        address: "tcp://127.0.0.1:0",
      })).text("address");
      await honest.listen("tcp://127.0.0.1:0");
      await honest.join(address);
      for (let i = 0; i < 200; i++) await honest.request("victim", "echo", i);
      await victim.ask("settle");
      const calm = await new Service(honest).stop();
      const before = await victim.ask("report");
      const service = new Service(honest);
      const memory = new Memory(victim.pid);
      const url = new URL(address.replace("tcp:", "http:"));
      return new Scene(
        victim,
        honest,
        url,
        calm,
        service,
        memory,
        before,
        secret,
      );
    } catch (error) {
      await honest.close();
      await victim[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Where the victim is dialled. */
  get address(): string {
    return `tcp://${this.hostname}:${this.port}`;
  }

  /** Opens a connection as a stranger. */
  async connect(): Promise<Stranger> {
    const { hostname, port } = this;
    return new Stranger(await Deno.connect({ hostname, port }));
  }

  /** Opens a connection and takes the handshake, as a member that is about to misbehave. */
  async enter(self: Partial<Introduction> = {}): Promise<Stranger> {
    const stranger = await this.connect();
    const introduced = await introduce(stranger.connection, self);
    if ("peer" in introduced) return stranger;
    stranger[Symbol.dispose]();
    throw new Error(introduced.refusal.detail);
  }

  /** How many files the victim has open. */
  async openFiles(): Promise<number> {
    const files = await Array.fromAsync(
      Deno.readDir(`/proc/${this.victim.pid}/fd`),
    );
    return files.length;
  }

  /** How much a counter has grown since the scene was opened. */
  async grown(name: string): Promise<number> {
    const after = await this.victim.ask("report");
    return after.number(name) - this.#before.number(name);
  }

  /** Waits until a counter has grown to so much; by how much it has. */
  async growsTo(name: string, count: number, limit = 20_000): Promise<number> {
    const before = this.#before.number(name);
    const args = { name, count: before + count, limit };
    return (await this.victim.ask("counter", args)).number("count") - before;
  }

  /** What must hold whatever was done: nothing uncaught, little memory, good service. */
  async outcome(mebibytes: number, limit: number): Promise<Measurement> {
    const served = await this.#service.stop();
    const growth = this.#memory.stop();
    const report = await this.victim.ask("report");
    const uncaught = report.number("uncaught");
    const lost = report.text("left").split(",").includes("honest");
    const { p99 } = this.#calm;
    const isSlow = served.p99 > Math.min(limit, p99 + SLOWER);
    const held = uncaught === 0 && growth <= mebibytes &&
      served.failed === 0 && !lost;
    const figure = `memory +${
      growth.toFixed(0)
    } MiB, ${served.count} honest requests, ${served.failed} failed, p99 ${
      served.p99.toFixed(0)
    } ms (calm ${p99.toFixed(0)} ms), ${uncaught} uncaught${
      lost ? ", honest member lost" : ""
    }`;
    return held && isSlow ? late(figure, this.#others) : { figure, held };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#service.abandon();
    this.#memory.stop();
    await this.honest.close();
    await this.victim[Symbol.asyncDispose]();
  }
}

/** What came of an attack. */
export interface Outcome {
  readonly figure: string;
  readonly held: boolean;
}

/** Starts a victim, by another command where `by` is one. */
export function startVictim(
  args: readonly string[],
  by: readonly string[] = [],
): Child {
  return new Child(new URL("victim.ts", import.meta.url), {
    flags: ["-A", "--unstable-net", "--v8-flags=--expose-gc"],
    args,
    ...by.length > 0 && {
      runtime: [...by, Deno.execPath(), "run", "--no-check", "--no-prompt"],
    },
  });
}

/** Takes the handshake over a connection. */
export function introduce(
  channel: Parameters<typeof protocol.introduce>[0],
  self: Partial<Introduction> = {},
): ReturnType<typeof protocol.introduce> {
  return protocol.introduce(channel, {
    role: "dialer",
    self: () => introductionOf(self),
    admit: () => null,
  });
}

/** What an honest node would say of itself. */
export function introductionOf(self: Partial<Introduction> = {}): Introduction {
  return {
    cluster: "verify",
    id: "mallory",
    incarnation: incarnationAt(Date.now()),
    format: "msgpack",
    addresses: [],
    meta: new Uint8Array(),
    maxMessage: 1_048_576,
    ...self,
  };
}

/** The first message of a handshake. */
export async function helloOf(
  self: Partial<Introduction> = {},
): Promise<Uint8Array> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array>();
  const introduced = introduce({
    send(message) {
      resolve(message.slice());
      return Promise.resolve();
    },
    receive: () => Promise.resolve(null),
  }, self);
  const message = await promise;
  await introduced.catch(() => {}); // nobody answers it
  return message;
}

/** How an honest node was served: how many requests, and the 99th percentile, in ms. */
export type Served = {
  readonly count: number;
  readonly failed: number;
  readonly p99: number;
};

/** An honest node requests one thing after the other. */
export class Service {
  readonly #times: number[] = [];
  readonly #running: Promise<void>;
  #failed = 0;
  #stopped = false;
  #abandoned = false;

  constructor(node: Node<Events>, to = "victim") {
    this.#running = this.#run(node, to);
  }

  /** Ends it once there were enough requests, and says how it went. */
  async stop(): Promise<Served> {
    this.#stopped = true;
    await this.#running;
    const count = this.#times.length;
    return {
      count,
      failed: this.#failed,
      p99: percentiles(Float64Array.from(this.#times)).p99 / 1_000,
    };
  }

  /** Ends it, however few requests there were. */
  abandon(): void {
    this.#abandoned = true;
  }

  async #run(node: Node<Events>, to: string): Promise<void> {
    while (
      !this.#abandoned && !(this.#stopped && this.#times.length >= ENOUGH)
    ) {
      const start = performance.now();
      try {
        await node.request(to, "echo", start);
      } catch {
        this.#failed++;
      }
      this.#times.push(performance.now() - start);
      await pause(REQUEST_EVERY);
    }
  }
}

/** How much the resident memory of a process grows, at most. */
export class Memory {
  readonly #pid: number;
  readonly #before: number;
  readonly #timer: ReturnType<typeof setInterval>;
  #most: number;

  constructor(pid: number) {
    this.#pid = pid;
    this.#before = this.#most = residentOf(pid);
    this.#timer = setInterval(() => this.#look(), 50);
  }

  /** How much it has grown at most so far, in MiB. */
  get most(): number {
    this.#look();
    return this.#most - this.#before;
  }

  /** How much it has grown by now, in MiB. */
  now(): number {
    return residentOf(this.#pid) - this.#before;
  }

  /** Ends it; how much it has grown at most, in MiB. */
  stop(): number {
    clearInterval(this.#timer);
    return this.most;
  }

  #look(): void {
    try {
      this.#most = Math.max(this.#most, residentOf(this.#pid));
    } catch {
      // It has ended.
    }
  }
}
