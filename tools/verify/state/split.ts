import { createSecret, secretText } from "@devts/protocol/secret";
import { ROOT } from "../../members.ts";
import { Networks } from "../routing/networks.ts";
import type { Measurement, MeasureOptions, Row } from "../runner.ts";

const HOSTS = ["a", "b"] as const;
const NETWORK = "lan";
const PORTS = { web: 7946, value: 7947 };
/** In which nodes find out that they are cut off, or together again, in ms. */
const SOON = 60_000;
/** How often it is looked whether they have, in ms. */
const EVERY = 200;
/** How far the values of two nodes are apart that write on their own; of two that share one. */
const APART = 4;
const TOGETHER = 2;

type Host = typeof HOSTS[number];

/** The examples on two hosts, of which one is unplugged for a while. */
export const split: Row = {
  what:
    "`web.ts` and `value_node.ts` on two hosts, one of which is unplugged for a while",
  target:
    "both sides read and write; plugged in again, they hold the same: of each key, and of the value, the last write",
  async measure(options: MeasureOptions): Promise<Measurement> {
    const why = await Networks.unavailable();
    if (why !== null) return { figure: why, held: false, skipped: true };
    const folder = await Deno.makeTempDir();
    try {
      const plan = HOSTS.map((name) => ({ name, networks: [NETWORK] }));
      await using networks = await Networks.make(plan);
      await using run = new Split(networks, folder, options);
      return await run.measure();
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
};

class Split implements AsyncDisposable {
  readonly #networks: Networks;
  readonly #folder: string;
  readonly #progress: (text: string) => void;
  readonly #programs: Program[] = [];
  readonly #web = new Map<Host, Program>();
  readonly #values = new Map<Host, Program>();
  readonly #wrong: string[] = [];

  constructor(
    networks: Networks,
    folder: string,
    { progress }: MeasureOptions,
  ) {
    this.#networks = networks;
    this.#folder = folder;
    this.#progress = progress;
  }

  async measure(): Promise<Measurement> {
    await Deno.writeTextFile(
      `${this.#folder}/secret`,
      secretText(createSecret()),
      {
        mode: 0o600,
      },
    );
    for (const host of HOSTS) {
      this.#web.set(host, this.#start(host, "web.ts", PORTS.web, []));
      await this.#web.get(host)?.line(/^serves on (.*\/) /);
      const value = this.#start(host, "value_node.ts", PORTS.value, ["w"]);
      this.#values.set(host, value);
      await value.line(/^value: /);
    }
    await this.#set("a", "first", "1");
    await this.#until(
      "both have it",
      async () => (await this.#store("b")).first === "1",
    );
    this.#progress("the nodes are together");

    await this.#networks.plug("b", false);
    await this.#writeApart();
    await this.#networks.plug("b", true);
    const start = performance.now();
    await this.#until("the stores are the same", () => this.#isSame());
    const took = performance.now() - start;
    await this.#until("the values are the same", () => this.#gap() <= TOGETHER);
    // So they stay.
    const seen = this.#values.get("a")?.lines.length ?? 0;
    await this.#values.get("a")?.line(/^value: /, seen + 3);
    await this.#until("the values stay so", () => this.#gap() <= TOGETHER);
    const store = JSON.stringify(await this.#store("a"));
    return {
      figure: `the same ${Math.round(took)} ms after the plug: ${store}${
        this.#wrong.length === 0 ? "" : `; ${this.#wrong.join("; ")}`
      }`,
      held: this.#wrong.length === 0,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#programs.map((program) => program.kill()));
  }

  /** Both write on, neither sees what the other one writes. */
  async #writeApart(): Promise<void> {
    const value = this.#values.get("b");
    // Until they know that they are alone it falls behind.
    value?.signal("SIGSTOP");
    await this.#until(
      "each is alone",
      async () =>
        await this.#set("a", "shared", "of a") === 0 &&
        await this.#set("b", "of-b", "2") === 0,
    );
    await this.#set("a", "of-a", "3");
    await this.#set("b", "shared", "of b, later");
    await this.#until("the values part", () => this.#gap() >= APART);
    value?.signal("SIGCONT");
    await value?.line(/^value: /, value.lines.length + 1);
    const [one, other] = [await this.#store("a"), await this.#store("b")];
    const isApart = one["of-b"] === undefined && other["of-a"] === undefined &&
      one.shared === "of a" && other.shared === "of b, later";
    if (!isApart || this.#gap() < APART) {
      this.#wrong.push("the cut did not keep them apart");
    }
    this.#progress(`apart: ${JSON.stringify([one, other])}, ${this.#gap()}`);
  }

  async #isSame(): Promise<boolean> {
    for (const host of HOSTS) {
      const store = await this.#store(host);
      const isWhole = store.first === "1" && store.shared === "of b, later" &&
        store["of-a"] === "3" && store["of-b"] === "2";
      if (!isWhole) return false;
    }
    return true;
  }

  /** How far the last values that both showed are apart. */
  #gap(): number {
    const [one = 0, other = 0] = HOSTS.map((host) => {
      const last = this.#values.get(host)?.lines.at(-1) ?? "";
      return Number(/^value: (\d+)$/.exec(last)?.[1]);
    });
    return Math.abs(one - other);
  }

  #start(
    host: Host,
    script: string,
    port: number,
    args: readonly string[],
  ): Program {
    const entry = `tcp://${this.#networks.address("a", NETWORK)}:${port}`;
    const program = new Program([
      ...this.#networks.on(host),
      ...[Deno.execPath(), "run", "-A", "--no-check", `examples/${script}`],
      ...[entry, ...args, "--id", host, "--port", `${port}`],
      ...["--host", this.#networks.address(host, NETWORK)],
      ...["--secret-file", `${this.#folder}/secret`],
      ...["--data", `${this.#folder}/${host}`],
    ]);
    this.#programs.push(program);
    return program;
  }

  /** Sets a key; resolves to how many other nodes there were. */
  async #set(host: Host, key: string, value: string): Promise<number> {
    const answer: unknown = await this.#get(
      host,
      `set/${key}/${encodeURIComponent(value)}`,
    );
    const nodes = Object(answer).nodes;
    return typeof nodes === "number" ? nodes : NaN;
  }

  async #store(host: Host): Promise<Readonly<Record<string, string>>> {
    return Object(await this.#get(host, "store"));
  }

  /** Asks the web application from its own host. */
  async #get(host: Host, path: string): Promise<unknown> {
    const line = await this.#web.get(host)?.line(/^serves on (\S+) /);
    const code = "console.log(await (await fetch(Deno.args[0])).text())";
    const [command = "", ...args] = [
      ...this.#networks.on(host),
      ...[Deno.execPath(), "eval", code, `${line?.[1]}${path}`],
    ];
    const { stdout } = await new Deno.Command(command, { args }).output();
    return JSON.parse(new TextDecoder().decode(stdout));
  }

  async #until(
    what: string,
    is: () => Promise<boolean> | boolean,
  ): Promise<void> {
    const start = performance.now();
    while (!await is()) {
      if (performance.now() - start > SOON) {
        this.#wrong.push(`not within ${SOON} ms: ${what}`);
        return;
      }
      await pause(EVERY);
    }
  }
}

/** A process whose lines are read. */
class Program {
  readonly lines: string[] = [];
  readonly #child: Deno.ChildProcess;
  readonly #read: Promise<void>;
  #look = (): void => {};
  #isOver = false;

  constructor([command = "", ...args]: readonly string[]) {
    this.#child = new Deno.Command(command, {
      args,
      cwd: ROOT,
      env: { NO_COLOR: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#read = this.#readLines();
  }

  /** A line that matches, among those from an index on. */
  line(pattern: RegExp, since = 0): Promise<RegExpExecArray> {
    const { promise, resolve, reject } = Promise.withResolvers<
      RegExpExecArray
    >();
    this.#look = (): void => {
      for (const line of this.lines.slice(since)) {
        const match = pattern.exec(line);
        if (match) return resolve(match);
      }
      if (this.#isOver) reject(new Error(`A node ended before ${pattern}`));
    };
    this.#look();
    return promise;
  }

  signal(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  async kill(): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
    await this.#child.status;
    await this.#read;
  }

  async #readLines(): Promise<void> {
    let rest = "";
    const texts = this.#child.stdout.pipeThrough(new TextDecoderStream());
    for await (const text of texts) {
      const lines = `${rest}${text}`.split("\n");
      rest = lines.pop() ?? "";
      this.lines.push(...lines);
      this.#look();
    }
    this.#isOver = true;
    this.#look();
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
