import { linesOf } from "./_lines.ts";

/** A program of this folder in a process of its own. Disposing kills it. */
export interface Process extends AsyncDisposable {
  /** What it has printed so far, standard error included. */
  readonly lines: readonly string[];
  /** Its exit status, once it has ended and all it printed is in `lines`. */
  readonly status: Promise<Deno.CommandStatus>;
  /**
   * Waits for a line that matches, among those from the index `since` on.
   *
   * Rejects once the process ends without one, or with the reason of the signal.
   */
  line(pattern: RegExp, options?: LineOptions): Promise<RegExpExecArray>;
  /** Writes a line to its standard input. */
  type(line: string): Promise<void>;
  /** Ends its standard input. */
  endInput(): Promise<void>;
  /** Sends a signal; without effect once it has ended. */
  kill(signal: Deno.Signal): void;
}

/** Options of {@linkcode Process.line}. */
export interface LineOptions {
  /** Where to begin: `lines.length` waits for what is to come. @default {0} */
  readonly since?: number;
  /** Stops waiting. */
  readonly signal?: AbortSignal;
}

/** Options of {@linkcode start}. */
export interface StartOptions {
  /** What it may do, as flags of Deno. @default {everything} */
  readonly permissions?: readonly string[];
  /** Is called with each line it prints. @default {nothing} */
  readonly print?: (line: string) => void;
}

/**
 * Starts a program.
 *
 * @param script Its file in this folder: `web.ts`.
 */
export function start(
  script: string,
  args: readonly string[],
  options: StartOptions = {},
): Process {
  return new ChildProcess(script, args, options);
}

class ChildProcess implements Process {
  readonly lines: string[] = [];
  readonly status: Promise<Deno.CommandStatus>;
  readonly #script: string;
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  /** Those who wait look again at each line, and at the end. */
  readonly #waiting = new Set<() => void>();
  #ended = false;

  constructor(
    script: string,
    args: readonly string[],
    { permissions = ["-A"], print = () => {} }: StartOptions,
  ) {
    this.#script = script;
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "--no-prompt", ...permissions],
        ...[import.meta.resolve(`./${script}`), ...args],
      ],
      // Whoever prints the lines decides on colours.
      env: { NO_COLOR: "1" },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.status = this.#run(print);
  }

  line(
    pattern: RegExp,
    { since = 0, signal }: LineOptions = {},
  ): Promise<RegExpExecArray> {
    const { promise, resolve, reject } = Promise.withResolvers<
      RegExpExecArray
    >();
    let next = since;
    const look = (): void => {
      for (; next < this.lines.length; next++) {
        const match = pattern.exec(this.lines[next] ?? "");
        if (match) return resolve(match);
      }
      if (signal?.aborted) return reject(signal.reason);
      if (this.#ended) {
        reject(
          new Error(
            `${this.#script} ended, and ${pattern} was not among its lines`,
          ),
        );
      }
    };
    this.#waiting.add(look);
    signal?.addEventListener("abort", look);
    look();
    return promise.finally(() => {
      this.#waiting.delete(look);
      signal?.removeEventListener("abort", look);
    });
  }

  async type(line: string): Promise<void> {
    await this.#input.write(new TextEncoder().encode(`${line}\n`));
  }

  endInput(): Promise<void> {
    return this.#input.close();
  }

  kill(signal: Deno.Signal): void {
    try {
      this.#child.kill(signal);
    } catch {
      // It has ended already.
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill("SIGKILL");
    await this.status;
  }

  async #run(print: (line: string) => void): Promise<Deno.CommandStatus> {
    const { stdout, stderr, status } = this.#child;
    await Promise.all([this.#read(stdout, print), this.#read(stderr, print)]);
    const ended = await status;
    await this.#input.close().catch(() => {});
    this.#ended = true;
    this.#look();
    return ended;
  }

  async #read(
    stream: ReadableStream<Uint8Array>,
    print: (line: string) => void,
  ): Promise<void> {
    for await (const line of linesOf(stream)) {
      this.lines.push(line);
      print(line);
      this.#look();
    }
  }

  #look(): void {
    for (const look of this.#waiting) look();
  }
}
