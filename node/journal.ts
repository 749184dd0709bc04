import type { Clock } from "@devts/routing";
import { reasonOf } from "./errors.ts";
import { Throttle } from "./_throttle.ts";
import type {
  Logger,
  NodeFault,
  SystemEventName,
  SystemEvents,
} from "./types.ts";

type Callback = { bivariant(event: unknown): unknown }["bivariant"];

/** What a node tells its program: log lines and system events. */
export class Journal {
  readonly #name: string;
  readonly #logger: Logger;
  readonly #throttle: Throttle;
  readonly #callbacks = new Map<SystemEventName, readonly Callback[]>();

  constructor(id: string, logger: Logger, clock: Clock) {
    this.#name = `node "${id}"`;
    this.#logger = logger;
    this.#throttle = new Throttle(clock);
  }

  /** Logs what only a developer of the system wants to see. */
  debug(line: string): void {
    this.#log("debug", line);
  }

  /** Logs what an operator wants to know. */
  info(line: string): void {
    this.#log("info", line);
  }

  /** Logs what may need attention. */
  warn(line: string): void {
    this.#log("warn", line);
  }

  /** Logs what went wrong. */
  error(line: string): void {
    this.#log("error", line);
  }

  /** As `warn`, for what others can cause as often as they like. */
  warnSometimes(line: string): void {
    const remark = this.#throttle.pass();
    if (remark !== null) this.#log("warn", line + remark);
  }

  /** Logs and tells what went wrong outside any call of the program. */
  fault(where: NodeFault["where"], error: unknown, message: string): void {
    const remark = this.#throttle.pass();
    if (remark !== null) this.#log("error", message + remark);
    this.tell("error", { error, where, message });
  }

  /** Calls back for a system event until disposed. */
  on<K extends SystemEventName>(
    name: K,
    callback: (event: SystemEvents[K]) => unknown,
  ): Disposable {
    const own: Callback = (event: SystemEvents[K]) => callback(event);
    this.#callbacks.set(name, [...this.#callbacks.get(name) ?? [], own]);
    return {
      [Symbol.dispose]: (): void => {
        const rest =
          this.#callbacks.get(name)?.filter((other) => other !== own) ?? [];
        this.#callbacks.set(name, rest);
      },
    };
  }

  /** Whether somebody is called back for a system event. */
  hears(name: SystemEventName): boolean {
    return (this.#callbacks.get(name)?.length ?? 0) > 0;
  }

  /** Tells a system event. What a callback throws or rejects with is a fault. */
  tell<K extends SystemEventName>(name: K, event: SystemEvents[K]): void {
    for (const callback of this.#callbacks.get(name) ?? []) {
      try {
        const result = callback(event);
        if (!(result instanceof Promise)) continue;
        result.catch((error) => this.#failed(name, error));
      } catch (error) {
        this.#failed(name, error);
      }
    }
  }

  #failed(name: SystemEventName, error: unknown): void {
    const message = `a callback of the system event "${name}" failed: ${
      reasonOf(error)
    }`;
    // Telling a callback of "error" that it has failed would not end.
    if (name === "error") this.#log("error", message);
    else this.fault("system", error, message);
  }

  /** A logger that throws must not end what is logged about. */
  #log(level: keyof Logger, line: string): void {
    try {
      this.#logger[level](`${this.#name}: ${line}`);
    } catch {
      // There is nowhere left to say so.
    }
  }

  /** Forgets all callbacks. */
  close(): void {
    this.#callbacks.clear();
  }
}
