import type { Clock } from "@devts/routing";

/** Time between two looks, in ms. */
const PAUSE = 1_000;

/**
 * Looks every second, while something waits for other nodes, whether there is still a
 * way to them: where others relay, a way is lost without any link of this node ending.
 */
export class Lookout {
  readonly #clock: Clock;
  readonly #look: () => boolean;
  #cancel: (() => void) | null = null;

  /** `look` returns whether something waits still. */
  constructor(clock: Clock, look: () => boolean) {
    this.#clock = clock;
    this.#look = look;
  }

  /** Something waits. */
  begin(): void {
    this.#cancel ??= this.#clock.after(PAUSE, () => {
      this.#cancel = null;
      if (this.#look()) this.begin();
    });
  }

  /** Looks no more. */
  close(): void {
    this.#cancel?.();
    this.#cancel = null;
  }
}
