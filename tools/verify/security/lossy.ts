/** Two hosts whose packets are late, and lost in part: real network namespaces. */
export class LossyNetwork implements AsyncDisposable {
  /** The addresses of the two hosts. */
  static readonly ADDRESSES = ["10.78.0.1", "10.78.0.2"] as const;
  /** How many this process has made. */
  static #made = 0;

  readonly #hosts: readonly [string, string];
  readonly #relay: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;

  private constructor(
    hosts: readonly [string, string],
    relay: Deno.ChildProcess,
  ) {
    this.#hosts = hosts;
    this.#relay = relay;
    this.#input = relay.stdin.getWriter();
  }

  /**
   * Makes one in which each packet takes so many ms.
   *
   * @throws {Error} If this machine cannot; the message says why.
   */
  static async make(delay: number): Promise<LossyNetwork> {
    const name = `devts-lossy-${Deno.pid}-${LossyNetwork.#made++}`;
    const [a, b] = [`${name}-a`, `${name}-b`];
    await run(["ip", "netns", "add", a]);
    await run(["ip", "netns", "add", b]);
    const program = new URL("relay.py", import.meta.url).pathname;
    const relay = new Deno.Command("python3", {
      args: [program, a, b, String(delay)],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    const network = new LossyNetwork([a, b], relay);
    for await (const _ready of relay.stdout) return network;
    await network[Symbol.asyncDispose]();
    throw new Error("the relay did not start");
  }

  /** The command that runs another one on a host. */
  on(host: 0 | 1): readonly string[] {
    return ["ip", "netns", "exec", this.#hosts[host]];
  }

  /** Loses a part of the packets from now on, in each direction. */
  async lose(part: number): Promise<void> {
    await this.#input.write(new TextEncoder().encode(`${part}\n`));
  }

  /** Removes it; what still runs there loses its network. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close().catch(() => {});
    await this.#relay.status;
    for (const host of this.#hosts) {
      await run(["ip", "netns", "delete", host]).catch(() => {});
    }
  }
}

async function run([command = "", ...args]: string[]): Promise<void> {
  const { code, stderr } = await new Deno.Command(command, { args }).output();
  if (code === 0) return;
  throw new Error(new TextDecoder().decode(stderr).trim());
}
