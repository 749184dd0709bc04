/** What a pool keeps, in bytes. */
const POOLED = 4_194_304;

/**
 * Memory that bundles are cut from. Once everyone who needed it has let go of it, it
 * is used again; whoever never does only leaves it to the garbage collector.
 */
export class Slab {
  /** Its memory. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Lets go of it. One function for ever, to be handed on. */
  readonly release: () => void;
  #users = 0;

  /** `free` is called when nobody needs it any more. */
  constructor(bytes: Uint8Array<ArrayBuffer>, free: (slab: Slab) => void) {
    this.bytes = bytes;
    this.release = () => {
      if (--this.#users === 0) free(this);
    };
  }

  /** Whether more than one needs it. */
  get isShared(): boolean {
    return this.#users > 1;
  }

  /** One more needs it. */
  retain(): void {
    this.#users++;
  }
}

/** Slabs to be used again while there is load. */
export class SlabPool {
  #free: Slab[] = [];
  #size = 0;
  /** Whether there is no load: what comes back late is not kept either. */
  #resting = false;
  readonly #give = (slab: Slab): void => {
    if (this.#resting || this.#size + slab.bytes.length > POOLED) return;
    this.#size += slab.bytes.length;
    this.#free.push(slab);
  };

  /** Whether it keeps none. */
  get isEmpty(): boolean {
    return this.#size === 0;
  }

  /** A slab of so many bytes, retained once. */
  take(size: number): Slab {
    this.#resting = false;
    const index = this.#free.findLastIndex(({ bytes }) =>
      bytes.length === size
    );
    const [known] = index < 0 ? [] : this.#free.splice(index, 1);
    if (known) this.#size -= size;
    const slab = known ?? new Slab(new Uint8Array(size), this.#give);
    slab.retain();
    return slab;
  }

  /** The load is over: leaves all to the garbage collector. */
  clear(): void {
    this.#resting = true;
    this.#free = [];
    this.#size = 0;
  }
}
