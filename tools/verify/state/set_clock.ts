import type { Measurement, MeasureOptions, Row } from "../runner.ts";
import { KvProcess } from "./kv_process.ts";
import { inFolder } from "./shared.ts";

const HOUR = 3_600;
/** How long a node may take to find out that something has changed, in ms. */
const SOON = 15_000;
const LIBRARIES = "/usr/lib";
const LIBRARY = "faketime/libfaketimeMT.so.1";

/** Three processes; the clock of one is set while it runs. */
export const setClock: Row = {
  what: "the clock of one of three processes is set 1 h ahead, and 1 h back",
  target:
    "it refuses writes with an error that says so, reads and merges; the others write at all; it writes again when its clock is right",
  async measure(options: MeasureOptions): Promise<Measurement> {
    const library = await faketime();
    if (library === null) {
      const figure =
        "not measured: there is no libfaketime here (apt-get install libfaketime)";
      return { figure, held: false, skipped: true };
    }
    return await inFolder(async (folder) => {
      await using run = new Run(folder, library);
      return await run.measure(options);
    });
  },
};

class Run implements AsyncDisposable {
  /** The last one's clock is set. */
  readonly #nodes: readonly KvProcess[];
  readonly #clock: string;
  readonly #wrong: string[] = [];

  constructor(folder: string, library: string) {
    this.#clock = `${folder}/clock`;
    const env = {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: this.#clock,
      FAKETIME_NO_CACHE: "1",
      // What counts time-outs goes on as it did, as where a clock is set.
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
    };
    this.#nodes = [{}, {}, env].map((one, i) =>
      new KvProcess(`${folder}/${i}`, one)
    );
  }

  async measure({ progress }: MeasureOptions): Promise<Measurement> {
    this.#set(0);
    for (const node of this.#nodes) {
      const others = this.#nodes.filter((one) => one !== node);
      await node.start(others.map(({ port }) => port), this.#nodes.length);
    }
    const messages: string[] = [];
    for (const seconds of [HOUR, -HOUR]) {
      await this.#until(2, `before ${seconds}`, 204);
      this.#set(seconds);
      messages.push(await this.#refused(seconds));
      this.#set(0);
      await this.#until(2, `after ${seconds}`, 204);
      progress(`${seconds} s: ${messages.at(-1)}`);
    }
    const wrong = this.#wrong.map((text) => `; ${text}`).join("");
    return {
      figure: `${messages.join("; ")}${wrong}`,
      held: this.#wrong.length === 0,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.kill()));
  }

  /** Sets the clock of the last node so many seconds ahead of the right time. */
  #set(seconds: number): void {
    // In one piece: it may be read at any moment.
    const next = `${this.#clock} next`;
    Deno.writeTextFileSync(next, `${seconds < 0 ? "" : "+"}${seconds}`);
    Deno.renameSync(next, this.#clock);
  }

  /** What the node with the wrong clock says, while the others go on. */
  async #refused(seconds: number): Promise<string> {
    const key = `refused ${seconds}`;
    const { status, text } = await this.#put(2, key);
    const side = seconds > 0 ? "ahead of" : "behind";
    const says = new RegExp(
      `this node's clock is 3[56]\\d\\d s ${side} the clocks of 2 of 2 other nodes`,
    );
    const said = says.exec(text)?.[0];
    if (status !== 503 || said === undefined) {
      this.#wrong.push(`it answered ${status} ${text}`);
    }
    for (const node of [0, 1]) {
      const told = `told ${node} ${seconds}`;
      // All: the one whose clock is wrong, too.
      const made = await this.#put(node, told);
      const read = await this.#get(2, told);
      if (made.status !== 204 || read.text !== told) {
        this.#wrong.push(`"${told}": ${made.text}; it reads ${read.text}`);
      }
      const spread = await this.#get(node, key);
      if (spread.status !== 404) this.#wrong.push(`another has "${key}"`);
    }
    return said ?? text;
  }

  /** Writes until that is answered with a status. */
  async #until(node: number, key: string, wanted: number): Promise<void> {
    const start = performance.now();
    for (;;) {
      const { status, text } = await this.#put(node, key);
      if (status === wanted) return;
      if (performance.now() - start < SOON) continue;
      this.#wrong.push(`"${key}": ${status} ${text}`);
      return;
    }
  }

  #put(node: number, key: string): Promise<Answer> {
    const init = { method: "PUT", body: key };
    return ask(`${this.#url(node, key)}?level=all`, init);
  }

  #get(node: number, key: string): Promise<Answer> {
    return ask(this.#url(node, key), {});
  }

  #url(node: number, key: string): string {
    return `${this.#nodes[node]?.url}/kv/${encodeURIComponent(key)}`;
  }
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

async function ask(url: string, init: RequestInit): Promise<Answer> {
  const response = await fetch(url, init);
  return { status: response.status, text: await response.text() };
}

/** Where the library is that shows a program another time; null: not installed. */
async function faketime(): Promise<string | null> {
  try {
    for await (const { name } of Deno.readDir(LIBRARIES)) {
      const path = `${LIBRARIES}/${name}/${LIBRARY}`;
      const isThere = await Deno.stat(path).then(() => true, () => false);
      if (isThere) return path;
    }
  } catch {
    // No such folder, no such library.
  }
  return null;
}
