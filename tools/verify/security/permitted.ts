/** How long a program may take to say something, in ms. */
const PATIENCE = 60_000;

/** A program with permissions that nobody is asked about. Disposing kills it. */
export class Permitted implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #reading: Promise<unknown>;
  readonly #waiting = new Set<() => void>();
  #said = "";
  #ended = false;

  /**
   * Starts it.
   *
   * @param flags Options of `deno run`.
   * @param folder Where it runs.
   */
  constructor(
    program: URL,
    flags: readonly string[],
    args: readonly string[],
    folder: string,
  ) {
    const deno = Deno.execPath();
    const path = deno.replace(/[/\\][^/\\]*$/, "");
    this.#process = new Deno.Command(deno, {
      args: ["run", "--no-prompt", ...flags, program.href, ...args],
      cwd: folder,
      // `--allow-run=deno` names the one that is found there.
      env: { NO_COLOR: "1", PATH: `${path}:${Deno.env.get("PATH") ?? ""}` },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const { stdout, stderr } = this.#process;
    this.#reading = Promise.all([this.#read(stdout), this.#read(stderr)])
      .finally(() => {
        this.#ended = true;
        this.#look();
      });
  }

  /** What it said so far. */
  get said(): string {
    return this.#said;
  }

  /** Resolves to the first of these that it says; null: it ended, or said nothing for long. */
  async says(...patterns: readonly RegExp[]): Promise<RegExpExecArray | null> {
    const { promise, resolve } = Promise.withResolvers<
      RegExpExecArray | null
    >();
    const look = (): void => {
      for (const pattern of patterns) {
        const match = pattern.exec(this.#said);
        if (match !== null) return resolve(match);
      }
      if (this.#ended) resolve(null);
    };
    this.#waiting.add(look);
    const timer = setTimeout(() => resolve(null), PATIENCE);
    look();
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(look);
    }
  }

  /** Asks it to end, insists, and frees its pipes. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#kill("SIGTERM");
    const insist = setTimeout(() => this.#kill("SIGKILL"), 3_000);
    await this.#process.status;
    clearTimeout(insist);
    await this.#process.stdin.abort().catch(() => {});
    await this.#reading;
  }

  #kill(signal: Deno.Signal): void {
    try {
      this.#process.kill(signal);
    } catch {
      // It has ended.
    }
  }

  async #read(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<void> {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      this.#said += text;
      this.#look();
    }
  }

  #look(): void {
    for (const look of this.#waiting) look();
  }
}
