/** How long it lasts, in ms. */
const TIME = 100;

/** The wait of a listener that cannot accept now: no descriptor is left, or accepting failed. */
export class Pause {
  #end: (() => void) | undefined;

  /** Resolves after 100 ms, or as soon as it is ended. */
  begin(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, TIME);
      this.#end = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Ends it early. */
  end(): void {
    this.#end?.();
  }
}
