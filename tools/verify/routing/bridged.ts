import { Child } from "../../../bench/child.ts";
import type { Measurement, MeasureOptions, Row } from "../runner.ts";
import { type HostPlan, Networks } from "./networks.ts";
import { NatsServer } from "./nats_server.ts";

/** The hosts that are in both networks; each network has so many of its own. */
const BRIDGE = "bridge";
const SECOND = "second";
const OWN = 3;
const OWN_SHORT = 2;
const PORT = 7946;
const NATS_PORT = 4222;
const NATS_CLUSTER_PORT = 6222;
/** In which a cluster forms, in ms. */
const FORMING = 20_000;
/** In which all reach each other again after a fault, in ms. */
const RECOVERY = 30_000;
/** Within which a sender is told that somebody cannot be reached, in ms. */
const TOLD = 12_000;
/** What fails as late as that was told nothing, in ms. */
const TIMEOUT = 20_000;
/** So many of the things that went wrong are named. */
const SHOWN = 5;
/** In which what has left arrives, in ms. */
const ARRIVAL = 5_000;

/** What trying to reach nodes came to. */
interface Reached {
  readonly round: number;
  /** How long the slowest took, in ms. */
  readonly ms: number;
  readonly pairs: readonly Pair[];
}

/** Why a `send` and a `request` failed; empty where they did not. */
interface Pair {
  readonly from: string;
  readonly to: string;
  readonly send: string;
  readonly request: string;
}

/**
 * Two networks that cannot see each other, and one node that is in both; it is killed
 * and started again, and at last a second one takes over as its plug is pulled.
 */
export function bridged(router: string): Row {
  const told = `told who is cut off within ${TOLD} ms`;
  const back = `${RECOVERY} ms`;
  return {
    what: `two networks that only one node joins, ${router}Router()`,
    target: router === "peer"
      ? `who can link knows each other; ${told}, all others are reached by send, request and emit, back within ${back} of a restart`
      : `every pair by send, request and emit, once; ${told}; whole within ${back} of a restart, and as a second one takes over`,
    measure: async (options) => {
      const why = await Networks.unavailable() ??
        (router === "nats" ? await NatsServer.unavailable() : null);
      if (why !== null) return { figure: why, held: false, skipped: true };
      await using networks = await Networks.make(hosts(options.short));
      await using scenario = new Bridged(router, networks, options);
      return await scenario.run();
    },
  };
}

class Bridged implements AsyncDisposable {
  readonly #router: string;
  readonly #networks: Networks;
  readonly #progress: (text: string) => void;
  readonly #left: readonly string[];
  readonly #right: readonly string[];
  readonly #nodes = new Map<string, Child>();
  readonly #servers = new Map<string, NatsServer>();
  readonly #wrong: string[] = [];
  #round = 0;

  constructor(
    router: string,
    networks: Networks,
    { short, progress }: MeasureOptions,
  ) {
    this.#router = router;
    this.#networks = networks;
    this.#progress = progress;
    this.#left = own("left", short);
    this.#right = own("right", short);
    if (router !== "nats") return;
    for (const host of [BRIDGE, SECOND]) {
      const server = new NatsServer({
        port: NATS_PORT,
        clusterPort: NATS_CLUSTER_PORT,
        runtime: networks.on(host),
        ...host === SECOND && {
          route: `nats://${
            networks.address(BRIDGE, "left")
          }:${NATS_CLUSTER_PORT}`,
        },
      });
      this.#servers.set(host, server);
    }
  }

  async run(): Promise<Measurement> {
    const figures = this.#router === "peer"
      ? await this.#runPeer()
      : await this.#runRelayed();
    const { length } = this.#wrong;
    const wrong = this.#wrong.slice(0, SHOWN);
    if (length > SHOWN) wrong.push(`${length - SHOWN} more`);
    return { figure: [...figures, ...wrong].join("; "), held: length === 0 };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      [...this.#nodes.values(), ...this.#servers.values()].map((one) =>
        one[Symbol.asyncDispose]()
      ),
    );
  }

  async #runRelayed(): Promise<string[]> {
    await this.#form();
    const all = [...this.#nodes.keys()];
    const whole = await this.#reach(all, all);
    await this.#expectReached(whole, all, all);
    const pairs = `${whole.pairs.length} pairs reached in ${ms(whole.ms)}`;
    this.#progress(pairs);

    await this.#kill();
    const cut = await this.#reach(this.#left, this.#right);
    this.#expectTold(cut);
    const told = `cut off, told within ${ms(cut.ms)}`;
    this.#progress(told);

    const restarted = performance.now();
    await this.#start(BRIDGE, this.#entries());
    await this.#whole(all);
    const back = `whole ${ms(performance.now() - restarted)} after a restart`;
    this.#progress(back);

    await this.#start(SECOND, this.#entries());
    const others = [...this.#left, ...this.#right, SECOND];
    await this.#whole([...others, BRIDGE]);
    await this.#networks.plug(BRIDGE, false);
    const taken = `taken over after ${ms(await this.#whole(others))}`;
    const last = await this.#reach(others, others);
    await this.#expectReached(last, others, others);
    return [pairs, told, back, taken];
  }

  async #runPeer(): Promise<string[]> {
    await this.#form();
    const pairs = await this.#withoutBridge();
    await this.#reachWithin([BRIDGE], [...this.#left, ...this.#right]);
    this.#progress(pairs);
    await this.#kill();
    const cut = await this.#withoutBridge();
    this.#progress(cut);
    const start = performance.now();
    await this.#start(BRIDGE, this.#entries());
    await this.#whole([BRIDGE, ...this.#left]);
    await this.#whole([BRIDGE, ...this.#right]);
    const back = `back ${ms(performance.now() - start)} after a restart`;
    await this.#start(SECOND, this.#entries());
    await this.#whole([BRIDGE, SECOND, ...this.#left]);
    const again = await this.#withoutBridge();
    return [pairs, `bridge killed: ${cut}`, back, `two bridges: ${again}`];
  }

  /** Nobody reaches the other network, and is told so; everybody reaches their own. */
  async #withoutBridge(): Promise<string> {
    const across = await this.#reach(this.#left, this.#right);
    const back = await this.#reach(this.#right, this.#left);
    this.#expectNotFound(across);
    this.#expectNotFound(back);
    await this.#reachWithin(this.#left, this.#left);
    await this.#reachWithin(this.#right, this.#right);
    const count = across.pairs.length + back.pairs.length;
    return `${count} pairs told within ${ms(Math.max(across.ms, back.ms))}`;
  }

  async #reachWithin(
    from: readonly string[],
    to: readonly string[],
  ): Promise<void> {
    await this.#expectReached(await this.#reach(from, to), from, to);
  }

  /** Starts all but the second bridge, each with the bridge as its entry node. */
  async #form(): Promise<void> {
    await this.#start(BRIDGE, []);
    const others = [...this.#left, ...this.#right];
    await Promise.all(others.map((host) => this.#start(host, [BRIDGE])));
    await Promise.all([...this.#nodes].map(async ([host, child]) => {
      const count = this.#known(host);
      const members = await child.ask("members", { count, limit: FORMING });
      if (members.number("count") >= count) return;
      this.#wrong.push(
        `"${host}" knows ${members.number("count")} of ${count} others`,
      );
    }));
  }

  /** How many others a node is to know at least: of whom no way leads to, only the bridge tells. */
  #known(host: string): number {
    const others = this.#left.length + this.#right.length;
    if (this.#router !== "peer" || host === BRIDGE) return others;
    return (this.#left.includes(host) ? this.#left : this.#right).length;
  }

  /** A node of each network: what a bridge that comes later dials. */
  #entries(): string[] {
    return [this.#left[0] ?? "", this.#right[0] ?? ""];
  }

  async #start(host: string, entries: readonly string[]): Promise<void> {
    await this.#servers.get(host)?.start();
    const child = new Child(new URL("host.ts", import.meta.url), {
      runtime: [
        ...this.#networks.on(host),
        ...[Deno.execPath(), "run", "--no-check", "--no-prompt"],
      ],
      args: [host, this.#router, this.#natsUrls(host)],
    });
    this.#nodes.set(host, child);
    if (this.#router === "nats") {
      await child.ask("join", { addresses: "" });
      return;
    }
    const addresses = this.#addresses(host);
    await child.ask("listen", { addresses: addresses.join() });
    if (entries.length === 0) return;
    const dialled = entries.map((entry) => this.#addressFor(host, entry));
    await child.ask("join", { addresses: dialled.join() });
  }

  async #kill(): Promise<void> {
    await this.#servers.get(BRIDGE)?.kill();
    await this.#nodes.get(BRIDGE)?.[Symbol.asyncDispose]();
  }

  #natsUrls(host: string): string {
    return [...this.#servers.keys()].map((server) =>
      `nats://${this.#ipFor(host, server)}:${NATS_PORT}`
    ).join();
  }

  #addresses(host: string): string[] {
    return this.#networks.of(host).map((network) =>
      `tcp://${this.#networks.address(host, network)}:${PORT}`
    );
  }

  #addressFor(host: string, other: string): string {
    return `tcp://${this.#ipFor(host, other)}:${PORT}`;
  }

  /** The address of another host in a network that both are in. */
  #ipFor(host: string, other: string): string {
    const own = this.#networks.of(host);
    const common = this.#networks.of(other).find((one) => own.includes(one));
    return this.#networks.address(other, common ?? "none");
  }

  /** Lets each of some send to and request from each of others, and emit. */
  async #reach(
    from: readonly string[],
    to: readonly string[],
  ): Promise<Reached> {
    const round = ++this.#round;
    const times: number[] = [];
    const pairs = await Promise.all(from.map(async (host) => {
      const targets = to.filter((other) => other !== host);
      const answer = await this.#node(host).ask("reach", {
        targets: targets.join(),
        round,
        timeout: TIMEOUT,
      });
      times.push(answer.number("ms"));
      return targets.map((other): Pair => ({
        from: host,
        to: other,
        send: answer.text(`send ${other}`),
        request: answer.text(`request ${other}`),
      }));
    }));
    return { round, ms: Math.max(...times), pairs: pairs.flat() };
  }

  /** Every call went well, and what was sent and emitted came once. */
  async #expectReached(
    { round, pairs }: Reached,
    from: readonly string[],
    to: readonly string[],
  ): Promise<void> {
    for (const { from, to, send, request } of pairs) {
      if (send !== "") this.#wrong.push(`${from} to ${to}: send ${send}`);
      if (request !== "") {
        this.#wrong.push(`${from} to ${to}: request ${request}`);
      }
    }
    await Promise.all(to.map(async (host) => {
      const senders = from.filter((other) => other !== host).join();
      const answer = await this.#node(host).ask("got", {
        from: senders,
        round,
        limit: ARRIVAL,
      });
      const wrong = answer.text("wrong");
      if (wrong !== "") this.#wrong.push(`at ${host}: ${wrong}`);
    }));
  }

  /** Every request failed in time with a reason that is not its timeout. */
  #expectTold({ ms: took, pairs }: Reached): void {
    if (took > TOLD) this.#wrong.push(`told only after ${ms(took)}`);
    for (const { from, to, request } of pairs) {
      if (request.includes(`"${to}"`) && !request.includes("timed out")) {
        continue;
      }
      this.#wrong.push(`${from} to ${to}, cut off: "${request}"`);
    }
  }

  /** And every call failed at once, since no way is known. */
  #expectNotFound(reached: Reached): void {
    this.#expectTold(reached);
    for (const { from, to, send, request } of reached.pairs) {
      if (isNotFound(send) && isNotFound(request)) continue;
      this.#wrong.push(`${from} to ${to}: "${send}", "${request}"`);
    }
  }

  /** Waits until each of some nodes reaches each other of them; after how many ms. */
  async #whole(hosts: readonly string[]): Promise<number> {
    const answers = await Promise.all(
      hosts.map((host) =>
        this.#node(host).ask("whole", {
          targets: hosts.filter((other) => other !== host).join(),
          limit: RECOVERY,
        })
      ),
    );
    for (const [at, answer] of answers.entries()) {
      const missing = answer.text("missing");
      if (missing !== "") {
        this.#wrong.push(`${hosts[at]} does not reach ${missing}`);
      }
    }
    return Math.max(...answers.map((answer) => answer.number("ms")));
  }

  #node(host: string): Child {
    const child = this.#nodes.get(host);
    if (child !== undefined) return child;
    throw new TypeError(`There is no node on the host "${host}"`);
  }
}

/** The hosts of the scenario: three of each network and two in both. */
function hosts(short: boolean): HostPlan[] {
  const both = ["left", "right"];
  return [
    { name: BRIDGE, networks: both },
    { name: SECOND, networks: both },
    // What goes to the other network is swallowed on the left, refused on the right.
    ...own("left", short).map((name) => ({
      name,
      networks: ["left"],
      gateway: BRIDGE,
    })),
    ...own("right", short).map((name) => ({ name, networks: ["right"] })),
  ];
}

function own(network: string, short: boolean): string[] {
  const count = short ? OWN_SHORT : OWN;
  return Array.from({ length: count }, (_, at) => `${network}${at + 1}`);
}

function ms(value: number): string {
  return `${Math.round(value)} ms`;
}

function isNotFound(text: string): boolean {
  return text.startsWith("NodeNotFoundError: ");
}
