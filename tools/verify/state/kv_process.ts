import { freePort } from "../../../bench/peers/broker.ts";
import { ROOT } from "../../members.ts";

const READY = /host port (\d+)/;

/** A process of `examples/kv.ts` that is killed and started again, with the same storage. */
export class KvProcess {
  readonly port: number;
  /** Counts its lives. */
  life = 0;
  readonly #data: string;
  readonly #env: Readonly<Record<string, string>>;
  #child: Deno.ChildProcess | null = null;
  #url: string | null = null;
  #output: Promise<void> = Promise.resolve();

  /** `data` is where it keeps its state; `env` what its environment has beside. */
  constructor(data: string, env: Readonly<Record<string, string>> = {}) {
    this.#data = data;
    this.#env = env;
    this.port = freePort();
  }

  /** Where it serves; null: it does not at present. */
  get url(): string | null {
    return this.#url;
  }

  /** Starts it; resolves once it serves, with how long that took, in ms. */
  async start(entries: readonly number[], replicas: number): Promise<number> {
    const start = performance.now();
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", "--no-check", "examples/kv.ts", entries.join(",")],
        ...["--port", `${this.port}`, "--cluster", "chaos"],
        ...["--replicas", `${replicas}`, "--data", this.#data],
      ],
      cwd: ROOT,
      env: { NO_COLOR: "1", ...this.#env },
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#child = child;
    this.life++;
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    this.#output = this.#read(child, resolve, reject);
    const port = await promise;
    if (this.#child === child) this.#url = `http://127.0.0.1:${port}`;
    return performance.now() - start;
  }

  /** Kills it at once; resolves once it is gone. */
  async kill(): Promise<void> {
    this.#url = null;
    const child = this.#child;
    this.#child = null;
    if (child === null) return;
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
    await child.status;
    await this.#output;
  }

  async #read(
    child: Deno.ChildProcess,
    ready: (port: string) => void,
    failed: (error: Error) => void,
  ): Promise<void> {
    let text = "";
    const decoded = child.stdout.pipeThrough(new TextDecoderStream());
    for await (const chunk of decoded) {
      // Only what stands before the port is of interest.
      if (READY.test(text)) continue;
      text += chunk;
      const port = READY.exec(text)?.[1];
      if (port !== undefined) ready(port);
    }
    failed(new Error(`A node ended before it served: ${text}`));
  }
}
