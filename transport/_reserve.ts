/** Descriptors that are left for dialling and for files once there were none. */
const SIZE = 16;
/** How long they are, in ms: by then there may be more again. */
const TIME = 60_000;

/**
 * How many connections a listener may hold: any number, until they have used up the
 * descriptors of the process. From then on a few less, for a while, so that whoever
 * floods a node does not keep it from dialling. The limit of the process itself cannot be
 * read without permissions.
 */
export class Reserve {
  #held = 0;
  #most = Infinity;
  #until = 0;

  /** Whether one more would be of the reserve, at this time in ms. */
  isFull(now: number): boolean {
    return this.#held >= this.#most && now < this.#until;
  }

  /** There is one more; the result says, once, that it has ended. */
  hold(): () => void {
    let isHeld = true;
    this.#held++;
    return () => {
      if (isHeld) this.#held--;
      isHeld = false;
    };
  }

  /** Accepting failed at this time in ms: because there was no descriptor left, or by a stranger. */
  failed(error: unknown, now: number): void {
    if (!isOutOfDescriptors(error)) return;
    this.#most = Math.max(1, this.#held - SIZE);
    this.#until = now + TIME;
  }
}

function isOutOfDescriptors(error: unknown): boolean {
  return error instanceof Error && "code" in error &&
    (error.code === "EMFILE" || error.code === "ENFILE");
}
