import type { Clock } from "@devts/routing";
import { reasonOf } from "./errors.ts";
import { Throttle } from "./_throttle.ts";
import type {
  Logger,
  NodeFault,
  SystemEventName,
  SystemEvents,
} from "./types.ts";

type Callback = { bivariant(event: unknown): void }["bivariant"];

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
    this.#logger.debug(`${this.#name}: ${line}`);
  }

  /** Logs what an operator wants to know. */
  info(line: string): void {
    this.#logger.info(`${this.#name}: ${line}`);
  }

  /** Logs what may need attention. */
  warn(line: string): void {
    this.#logger.warn(`${this.#name}: ${line}`);
  }

  /** As `warn`, for what strangers can cause as often as they like. */
  warnSometimes(line: string): void {
    const remark = this.#throttle.pass();
    if (remark !== null) this.warn(line + remark);
  }

  /** Logs and tells what went wrong outside any call of the program. */
  fault(where: NodeFault["where"], error: unknown, message: string): void {
    const remark = this.#throttle.pass();
    if (remark !== null) {
      this.#logger.error(`${this.#name}: ${message}${remark}`);
    }
    this.tell("error", { error, where, message });
  }

  /** Calls back for a system event until disposed. */
  on<K extends SystemEventName>(
    name: K,
    callback: (event: SystemEvents[K]) => void,
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

  /** Tells a system event. What a callback throws is logged. */
  tell<K extends SystemEventName>(name: K, event: SystemEvents[K]): void {
    for (const callback of this.#callbacks.get(name) ?? []) {
      try {
        callback(event);
      } catch (error) {
        this.#logger.error(
          `${this.#name}: a callback of the system event "${name}" failed: ${
            reasonOf(error)
          }`,
        );
      }
    }
  }

  /** Forgets all callbacks. */
  close(): void {
    this.#callbacks.clear();
  }
}
