/**
 * A bad network, for tests: delays, slow links, cuts and dials that fail, the same for
 * the same seed.
 *
 * ```ts
 * import { withPlugins } from "@devts/plugins";
 * import { faults } from "@devts/plugins/faults";
 * import { memory } from "@devts/transport/memory";
 * import { assertEquals, assertRejects } from "@std/assert";
 *
 * const network = faults({ seed: 1, delay: [5, 20] });
 * const transport = withPlugins(memory(), network.plugin);
 * await using listener = await transport.listen("memory://inbox");
 * await using dialled = await transport.connect(listener.address);
 * await dialled.send(new Uint8Array(3)); // arrives 5 to 20 ms later
 *
 * network.set({ refuse: 1 });
 * await assertRejects(() => transport.connect(listener.address));
 * assertEquals(network.cut(), 1); // the end that was opened
 * ```
 *
 * @module
 */

import {
  type Connection,
  ConnectionError,
  wrapConnection,
  wrapTransport,
} from "@devts/transport";
import { machineClock, wait } from "./_clock.ts";
import type { Plugin, PluginClock } from "./types.ts";

/** What goes wrong. */
export interface FaultSettings {
  /**
   * How long each message is under way, in ms: one figure, or from the first to the
   * second. Messages stay in order.
   *
   * @default {0}
   */
  readonly delay?: number | readonly [min: number, max: number];
  /**
   * Bytes per second in each direction, above 0.
   *
   * @default {Infinity}
   */
  readonly rate?: number;
  /**
   * How likely a message cuts its connection, in place of being sent: 0 to 1.
   *
   * @default {0}
   */
  readonly cut?: number;
  /**
   * How likely a dial fails: 0 to 1.
   *
   * @default {0}
   */
  readonly refuse?: number;
}

/** Options of {@linkcode faults}. */
export interface FaultOptions extends FaultSettings {
  /**
   * The same seed, used in the same way, gives the same faults.
   *
   * @default {1}
   */
  readonly seed?: number;
  /**
   * Where time comes from.
   *
   * @default {the time of this machine}
   */
  readonly clock?: PluginClock;
}

/** A bad network; see {@linkcode faults}. */
export interface Faults {
  /** Around a transport: what goes over it suffers. */
  readonly plugin: Plugin;
  /** Changes what goes wrong from now on; what is left out stays as it is. */
  set(settings: FaultSettings): void;
  /** Cuts all connections; returns how many there were. */
  cut(): number;
}

/** Bytes under way on a connection above which `send` waits. */
const UNDER_WAY = 1_048_576;

/**
 * Makes a bad network. What is delayed is what this side sends: with the plugin on both
 * sides, both directions suffer. A connection that is cut breaks with an error at this
 * end, and ends without a goodbye at the other.
 *
 * To part a node from all others, whoever dials, `set({ refuse: 1, cut: 1 })` and `cut()`
 * what is open; `set({ refuse: 0, cut: 0 })` lets it meet them again.
 *
 * @throws {RangeError} If a setting is out of range.
 */
export function faults(options: FaultOptions = {}): Faults {
  const { seed = 1, clock = machineClock, ...first } = options;
  const random = seeded(seed);
  const open = new Set<Line>();
  let settings = checked(first);
  const world: World = { clock, random, settings: () => settings };
  return {
    plugin: (transport) =>
      wrapTransport(transport, {
        async connect(address, options) {
          if (random() < settings.refuse) {
            throw new ConnectionError(
              `Cannot connect to "${address}": a fault was injected`,
            );
          }
          return await transport.connect(address, options);
        },
        connection(connection) {
          const line = new Line(connection, world, () => open.delete(line));
          open.add(line);
          return line.connection;
        },
      }),
    set(changed) {
      settings = checked({ ...settings, ...changed });
    },
    cut() {
      const lines = [...open];
      for (const line of lines) line.cut();
      return lines.length;
    },
  };
}

interface World {
  readonly clock: PluginClock;
  readonly random: () => number;
  readonly settings: () => Settings;
}

type Settings = Required<FaultSettings>;

/** One direction of a connection: what is sent is under way for a while. */
class Line {
  readonly connection: Connection;
  readonly #inner: Connection;
  readonly #world: World;
  readonly #ended: () => void;
  readonly #over = Promise.withResolvers<void>();
  #underWay = 0;
  /** When the message before has left, and when it arrives. */
  #leaves = -Infinity;
  #arrives = -Infinity;
  #last: Promise<void> = Promise.resolve();
  #error: ConnectionError | null = null;

  constructor(inner: Connection, world: World, ended: () => void) {
    this.#inner = inner;
    this.#world = world;
    this.#ended = ended;
    this.connection = wrapConnection(inner, {
      send: (message) => this.#send(message),
      close: (reason) => this.#close(reason),
    });
  }

  cut(): void {
    this.#close(
      new ConnectionError(
        `The connection to "${this.#inner.remote}" broke: a fault was injected`,
      ),
    );
  }

  async #send(message: Uint8Array): Promise<void> {
    if (this.#error) throw this.#error;
    const { random, clock, settings } = this.#world;
    if (random() < settings().cut) {
      this.cut();
      return await this.#inner.send(message); // says that it is closed
    }
    const delay = this.#delay(message.length);
    if (delay <= 0 && this.#underWay === 0) {
      return await this.#inner.send(message);
    }
    const { length } = message;
    const copy = message.slice();
    this.#underWay += length;
    this.#last = Promise.all([
      this.#last,
      wait(clock, delay, this.#over.promise),
    ]).then(() => this.#arrive(copy));
    if (this.#underWay < UNDER_WAY) return;
    await this.#last;
    if (this.#error) throw this.#error;
  }

  async #arrive(message: Uint8Array): Promise<void> {
    try {
      await this.#inner.send(message);
    } catch (error) {
      this.#error ??= error instanceof ConnectionError
        ? error
        : new ConnectionError(String(error), { cause: error });
    }
    this.#underWay -= message.length;
  }

  /** How long a message is under way from now on: it queues, leaves, then travels. */
  #delay(length: number): number {
    const { random, clock, settings } = this.#world;
    const { delay, rate } = settings();
    const [min, max] = typeof delay === "number" ? [delay, delay] : delay;
    const now = clock.now();
    this.#leaves = Math.max(now, this.#leaves) + length / rate * 1000;
    const travels = min + random() * (max - min);
    this.#arrives = Math.max(this.#arrives, this.#leaves + travels);
    return this.#arrives - now;
  }

  async #close(reason?: Error): Promise<void> {
    this.#ended();
    if (reason) this.#over.resolve(); // what is under way is lost
    else await this.#last;
    await this.#inner.close(reason);
  }
}

function checked(settings: FaultSettings): Settings {
  const { delay = 0, rate = Infinity, cut = 0, refuse = 0 } = settings;
  const [min, max] = typeof delay === "number" ? [delay, delay] : delay;
  const isRight = min >= 0 && max >= min && max < 2 ** 31 && rate > 0 &&
    isChance(cut) && isChance(refuse);
  if (isRight) return { delay, rate, cut, refuse };
  throw new RangeError(
    `Cannot inject faults: delay ${delay}, rate ${rate}, cut ${cut} or refuse ${refuse} is out of range`,
  );
}

function isChance(value: number): boolean {
  return value >= 0 && value <= 1;
}

/** Numbers from 0 to below 1 (mulberry32, by Tommy Ettinger). */
function seeded(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = state + 0x6d2b79f5 | 0;
    let mixed = Math.imul(state ^ state >>> 15, 1 | state);
    mixed = mixed + Math.imul(mixed ^ mixed >>> 7, 61 | mixed) ^ mixed;
    return ((mixed ^ mixed >>> 14) >>> 0) / 2 ** 32;
  };
}
