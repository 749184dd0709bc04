import { ROOT } from "../tools/members.ts";
import { type Named, Values } from "./values.ts";

/** How a program is started. */
export interface SpawnOptions {
  /**
   * Options of `deno run`, or of another runtime.
   *
   * @default {["-A"]}
   */
  readonly flags?: readonly string[];
  /** Arguments of the program. */
  readonly args?: readonly string[];
  /**
   * The command that runs programs.
   *
   * @default {[Deno.execPath(), "run", "--no-check", "--no-prompt"]}
   */
  readonly runtime?: readonly string[];
  /** The only processor that it may use, counted from 0. */
  readonly processor?: number;
}

const DENO: readonly string[] = [
  Deno.execPath(),
  "run",
  "--no-check",
  "--no-prompt",
];

const encoder = new TextEncoder();
const STDERR_KEPT = 100_000;

/**
 * A program in a process of its own, which answers one command at a time: a line of
 * JSON on its stdin, `{ "verb": …, "args": {…} }`, by a line of JSON on its stdout.
 * Disposing kills it.
 */
export class Child implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #output: ReadableStreamDefaultReader<string>;
  readonly #reading: Promise<void>;
  #unread = "";
  #last: Promise<unknown> = Promise.resolve();
  #stderr = "";

  /** Starts a program. */
  constructor(program: URL, options: SpawnOptions = {}) {
    const { flags = ["-A"], args = [], runtime = DENO, processor } = options;
    const pin = processor === undefined
      ? []
      : ["taskset", "--cpu-list", String(processor)];
    const [command = "", ...rest] = [
      ...pin,
      ...runtime,
      ...flags,
      program.pathname,
      ...args,
    ];
    this.#process = new Deno.Command(command, {
      args: rest,
      cwd: ROOT,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#input = this.#process.stdin.getWriter();
    this.#output = this.#process.stdout.pipeThrough(new TextDecoderStream())
      .getReader();
    this.#reading = this.#readErrors();
  }

  /** The id of its process. */
  get pid(): number {
    return this.#process.pid;
  }

  /** What it wrote to stderr so far, up to a bound. */
  get stderr(): string {
    return this.#stderr;
  }

  /**
   * Gives it a command and waits for the answer; commands wait for one another.
   *
   * @throws {Error} If it ended, or the command failed.
   */
  ask(verb: string, args: Named = {}): Promise<Values> {
    const answer = this.#last.then(() => this.#ask(verb, args));
    this.#last = answer.catch(() => {});
    return answer;
  }

  /** Kills it as the system kills a program that crashes: it cannot say goodbye. */
  async kill(): Promise<void> {
    this.#signal();
    await this.#process.status;
  }

  /** Lets it end by itself; resolves to its exit code, -1: it did not end in `limit` ms. */
  async end(limit: number): Promise<number> {
    await this.#input.close().catch(() => {});
    const timer = setTimeout(() => this.#signal(), limit);
    const { code, signal } = await this.#process.status;
    clearTimeout(timer);
    await this.#reading;
    return signal === "SIGKILL" ? -1 : code;
  }

  /** Kills it and frees its pipes. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await this.#input.abort().catch(() => {});
    await this.#output.cancel().catch(() => {});
    await this.#reading;
  }

  #signal(): void {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It has ended.
    }
  }

  async #ask(verb: string, args: Named): Promise<Values> {
    await this.#input.write(
      encoder.encode(`${JSON.stringify({ verb, args })}\n`),
    );
    const line = await this.#readLine();
    if (line === null) {
      throw new Error(`The program ended at "${verb}": ${this.#stderr}`);
    }
    const answer = new Values(`The answer to "${verb}"`, JSON.parse(line));
    if (answer.has("error")) {
      throw new Error(`"${verb}" failed: ${answer.text("error")}`);
    }
    return answer;
  }

  async #readLine(): Promise<string | null> {
    for (;;) {
      const end = this.#unread.indexOf("\n");
      if (end >= 0) {
        const line = this.#unread.slice(0, end);
        this.#unread = this.#unread.slice(end + 1);
        return line;
      }
      const { value } = await this.#output.read();
      if (value === undefined) return null;
      this.#unread += value;
    }
  }

  async #readErrors(): Promise<void> {
    const text = this.#process.stderr.pipeThrough(new TextDecoderStream());
    for await (const part of text) {
      this.#stderr = (this.#stderr + part).slice(-STDERR_KEPT);
    }
  }
}
