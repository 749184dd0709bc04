import type { Measurement, MeasureOptions, Row } from "../runner.ts";
import { KvProcess } from "./kv_process.ts";

const NODES = 8;
/** How many may be down at once: the others are a majority. */
const DOWN = 3;
const WRITERS = 6;
const READERS = 2;
/** How often one is killed, in ms, if no more than `DOWN` are. */
const EVERY = 400;
const REJOIN = 5_000;
/** In which all hold the same once nobody is killed any more, in ms. */
const SETTLE = 30_000;
const LEVELS = ["fsync", "quorum"] as const;

/** A cluster of key/value servers whose processes are killed all the time. */
export const chaos: Row = {
  what: `SIGKILL chaos: ${NODES} processes, writers and readers throughout`,
  target:
    "0 acknowledged writes lost at fsync and quorum, none unread by who read it; rejoin p99 ≤ 5 s (in the short form, or twice what the first start of all took)",
  async measure(options: MeasureOptions): Promise<Measurement> {
    const folder = await Deno.makeTempDir();
    const run = new Chaos(folder, options);
    try {
      return await run.measure();
    } finally {
      await run.end();
      await Deno.remove(folder, { recursive: true });
    }
  },
};

class Chaos {
  readonly #nodes: readonly KvProcess[];
  readonly #options: MeasureOptions;
  /** Values that were acknowledged, by key. */
  readonly #kept = new Map<string, string>();
  readonly #acknowledged = { fsync: 0, quorum: 0 };
  readonly #wrong: string[] = [];
  readonly #rejoins: number[] = [];
  #unknown = 0;
  #reads = 0;
  #isOver = false;

  constructor(folder: string, options: MeasureOptions) {
    this.#options = options;
    this.#nodes = Array.from(
      { length: NODES },
      (_, i) => new KvProcess(`${folder}/${i}`),
    );
  }

  async measure(): Promise<Measurement> {
    const { short, progress } = this.#options;
    const kills = short ? 12 : 100;
    const starts = await Promise.all(
      this.#nodes.map((node) => this.#start(node)),
    );
    // On a busy machine most of a rejoin is the start of a process.
    const most = Math.max(REJOIN, short ? 2 * Math.max(...starts) : 0);
    progress(`${NODES} nodes serve`);
    const clients = [
      ...Array.from({ length: WRITERS }, (_, i) => this.#write(i)),
      ...Array.from({ length: READERS }, () => this.#read()),
    ];
    await this.#killAll(kills);
    this.#isOver = true;
    await Promise.all(clients);
    const settled = await this.#settle();
    const rejoin = quantile(this.#rejoins, 0.99);
    const { fsync, quorum } = this.#acknowledged;
    const wrong = this.#wrong.length === 0 ? "" : `; ${this.#wrong[0]}`;
    return {
      figure:
        `${kills} kills, ${fsync} writes acknowledged at fsync and ${quorum} at quorum, ${this.#unknown} not, ${this.#reads} reads; ${this.#wrong.length} lost or wrong; rejoin p99 ${
          Math.round(rejoin)
        } ms, all the same after ${Math.round(settled)} ms${wrong}`,
      held: this.#wrong.length === 0 && rejoin <= most && fsync > 0 &&
        quorum > 0,
    };
  }

  /** Ends all processes. */
  async end(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#nodes.map((node) => node.kill()));
  }

  #start(node: KvProcess): Promise<number> {
    const others = this.#nodes.filter((one) => one !== node);
    return node.start(others.map(({ port }) => port), NODES);
  }

  async #killAll(kills: number): Promise<void> {
    const returning = new Set<Promise<void>>();
    for (let done = 0; done < kills;) {
      await sleep(EVERY);
      const up = this.#nodes.filter(({ url }) => url !== null);
      if (up.length <= NODES - DOWN) {
        await Promise.race(returning);
        continue;
      }
      const node = any(up);
      if (node === undefined) continue;
      const back = this.#kill(node).finally(() => returning.delete(back));
      returning.add(back);
      done++;
      if (done % 10 === 0) this.#options.progress(`${done} of ${kills} kills`);
    }
    await Promise.all(returning);
  }

  async #kill(node: KvProcess): Promise<void> {
    await node.kill();
    this.#rejoins.push(await this.#start(node));
  }

  /** A client that writes a new key each time, to any node. */
  async #write(client: number): Promise<void> {
    for (let i = 0; !this.#isOver; i++) {
      const node = any(this.#nodes.filter(({ url }) => url !== null));
      if (node === undefined) continue;
      const level = any(LEVELS) ?? "quorum";
      const key = `${client}-${i}`;
      const value = `${level} ${i}`;
      const made = await ask(`${node.url}/kv/${key}?level=${level}`, {
        method: "PUT",
        body: value,
      });
      if (made?.status === 204) {
        this.#kept.set(key, value);
        this.#acknowledged[level]++;
      } else this.#unknown++;
      await sleep(5);
    }
  }

  /** A client that reads what was written, on any node: what a node has shown it goes on showing. */
  async #read(): Promise<void> {
    const seen = new Set<string>();
    while (!this.#isOver) {
      await sleep(5);
      const node = any(this.#nodes.filter(({ url }) => url !== null));
      const keys = [...this.#kept.keys()];
      const key = any(keys.slice(-200));
      if (node === undefined || key === undefined) continue;
      const place = `${node.port} ${node.life} ${key}`;
      const read = await ask(`${node.url}/kv/${key}`, {});
      if (read === null) continue;
      this.#reads++;
      if (read.status === 200 && read.text === this.#kept.get(key)) {
        seen.add(place);
      } else if (read.status === 200 || seen.has(place)) {
        this.#wrong.push(`a node showed "${read.text}" for "${key}"`);
      }
    }
  }

  /** How long it takes until all hold the same; then all that was acknowledged must be there. */
  async #settle(): Promise<number> {
    const start = performance.now();
    for (;;) {
      const all = await Promise.all(this.#nodes.map(({ url }) => listed(url)));
      const texts = new Set(all.map((one) => JSON.stringify(sorted(one))));
      const took = performance.now() - start;
      if (texts.size > 1 && took < SETTLE) {
        await sleep(100);
        continue;
      }
      if (texts.size > 1) this.#wrong.push("the nodes do not hold the same");
      for (const [key, value] of this.#kept) {
        for (const [i, one] of all.entries()) {
          if (one[key] === value) continue;
          this.#wrong.push(
            `node ${i} has "${one[key]}" for "${key}": ${value}`,
          );
        }
      }
      return took;
    }
  }
}

/** What a node answered. */
interface Answer {
  readonly status: number;
  readonly text: string;
}

/** Asks a node; null: it is gone, or does not answer. */
async function ask(url: string, init: RequestInit): Promise<Answer | null> {
  try {
    const signal = AbortSignal.timeout(15_000);
    const response = await fetch(url, { ...init, signal });
    return { status: response.status, text: await response.text() };
  } catch {
    return null;
  }
}

async function listed(
  url: string | null,
): Promise<Readonly<Record<string, string>>> {
  const response = await fetch(`${url}/kv`);
  return await response.json();
}

function sorted(entries: Readonly<Record<string, string>>): unknown {
  return Object.entries(entries).sort(([one], [other]) => one < other ? -1 : 1);
}

function any<T>(list: readonly T[]): T | undefined {
  return list[Math.floor(list.length * Math.random())];
}

function quantile(values: readonly number[], part: number): number {
  const order = [...values].sort((one, other) => one - other);
  return order[Math.ceil(part * order.length) - 1] ?? 0;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
