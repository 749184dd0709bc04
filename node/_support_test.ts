/** What the tests of the parts of a node share. It registers none of its own. */
import { incarnationAt, type Peer } from "@devts/routing";
import { systemClock } from "@devts/routing/clock";
import type { VirtualClock } from "@devts/routing/testing";
import type { Connection } from "@devts/transport";
import type { Logger } from "./types.ts";

/** One turn of the event loop, and with it every promise that can settle without time. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Several turns, for what goes through real I/O or through `soon` of a real clock. */
export async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await turn();
}

/** Lets turns of the event loop pass until a condition holds: for a minute at most. */
export async function eventually(condition: () => boolean): Promise<void> {
  const clock = systemClock();
  const end = clock.now() + 60_000;
  while (!condition()) {
    if (clock.now() > end) throw new Error(`It never holds: ${condition}`);
    await turn();
  }
}

/**
 * Lets virtual time pass for asynchronous code: after each callback of the clock,
 * the event loop turns, so that promises settle at the time at which they would.
 */
export async function pass(clock: VirtualClock, ms: number): Promise<void> {
  const end = clock.now() + ms;
  await turn();
  while (step(clock, end)) await turn();
  clock.tick(end - clock.now());
  await turn();
}

/** Lets virtual time pass until a condition holds; resolves to how many ms that took. */
export async function passUntil(
  clock: VirtualClock,
  condition: () => boolean,
  limit = 60_000,
): Promise<number> {
  const start = clock.now();
  await turn();
  while (!condition()) {
    if (!step(clock, start + limit)) {
      throw new Error(`It does not hold within ${limit} ms: ${condition}`);
    }
    await turn();
  }
  return clock.now() - start;
}

/** The result of a promise, while virtual time passes as needed. */
export async function passFor<T>(
  clock: VirtualClock,
  promise: Promise<T>,
  limit = 60_000,
): Promise<T> {
  let done = false;
  const end = (): void => {
    done = true;
  };
  promise.then(end, end);
  await passUntil(clock, () => done, limit);
  return await promise;
}

/** Runs the next callback due by `end`, alone; false when there is none. */
function step(clock: VirtualClock, end: number): boolean {
  let reached = false;
  const cancel = clock.after(end - clock.now(), () => {
    reached = true;
  });
  let asked = 0;
  clock.until(() => asked++ > 0, Infinity);
  cancel();
  return !reached;
}

/** Whether a promise has settled once the event loop has turned. */
export async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const end = (): void => {
    settled = true;
  };
  promise.then(end, end);
  await turn();
  return settled;
}

/** A logger that keeps its lines. */
export class Log implements Logger {
  readonly lines: { readonly level: string; readonly text: string }[] = [];

  debug(text: string): void {
    this.lines.push({ level: "debug", text });
  }
  info(text: string): void {
    this.lines.push({ level: "info", text });
  }
  warn(text: string): void {
    this.lines.push({ level: "warn", text });
  }
  error(text: string): void {
    this.lines.push({ level: "error", text });
  }

  /** The lines of a level. */
  of(level: string): string[] {
    return this.lines.filter((line) => line.level === level)
      .map(({ text }) => text);
  }
}

/** When the nodes of a test were started: 2026-01-01. */
export const START: number = incarnationAt(Date.UTC(2026, 0, 1));

/** A connection whose other end is the test. */
export class FakeConnection implements Connection {
  readonly remote = "fake://there";
  /** What was sent and taken, in order. */
  readonly sent: Uint8Array[] = [];
  /** How it was closed: `null` without a reason. */
  readonly closes: (Error | null)[] = [];
  /** While set, `send` waits for `take`. */
  held = false;
  /** What `send` rejects with next. */
  failure: Error | null = null;
  /** Whether a close in order never ends. */
  hangs = false;
  #waiting: PromiseWithResolvers<void>[] = [];
  #incoming: (Uint8Array | null)[] = [];
  #arrival: PromiseWithResolvers<void> | null = null;
  #broken: Error | null = null;

  async send(message: Uint8Array): Promise<void> {
    if (this.#broken) throw this.#broken;
    const { failure } = this;
    this.failure = null;
    if (failure) throw failure;
    this.sent.push(message);
    if (!this.held) return;
    const waiting = Promise.withResolvers<void>();
    this.#waiting.push(waiting);
    await waiting.promise;
  }

  /** Lets the send that waits go on. */
  take(): void {
    this.#waiting.shift()?.resolve();
  }

  /** Lets everything go on from now on. */
  release(): void {
    this.held = false;
    for (const waiting of this.#waiting.splice(0)) waiting.resolve();
  }

  /** A message from the other end, or its end. */
  arrive(message: Uint8Array | null): void {
    this.#incoming.push(message);
    this.#arrival?.resolve();
    this.#arrival = null;
  }

  async receive(): Promise<Uint8Array | null> {
    for (;;) {
      if (this.#broken) throw this.#broken;
      const message = this.#incoming.shift();
      if (message !== undefined) return message;
      if (this.closes.length > 0) return null;
      this.#arrival ??= Promise.withResolvers<void>();
      await this.#arrival.promise;
    }
  }

  async close(reason?: Error): Promise<void> {
    this.closes.push(reason ?? null);
    if (reason) {
      this.#broken = reason;
      for (const waiting of this.#waiting.splice(0)) waiting.reject(reason);
    }
    this.#arrival?.resolve();
    if (!reason && this.hangs) await new Promise(() => {});
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const message = await this.receive();
      if (message === null) return;
      yield message;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** A peer of a test. */
export function peer(id: string, incarnation = START): Peer {
  return { id, incarnation, addresses: [] };
}
