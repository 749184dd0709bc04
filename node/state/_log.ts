const SMALL = 16;

/**
 * Which slots hold something of a rising number: packed, in the order of the numbers.
 * What a slot no longer holds stays behind as stale, and is swept out when it is half.
 */
export class Log {
  length = 0;
  /** How many of them are stale. */
  stale = 0;
  #numbers: Float64Array = new Float64Array(SMALL);
  #slots: Uint32Array = new Uint32Array(SMALL);

  /** The number at an index. */
  number(index: number): number {
    return this.#numbers[index] ?? 0;
  }

  /** The slot at an index. */
  slot(index: number): number {
    return this.#slots[index] ?? 0;
  }

  /** How many are not stale. */
  get live(): number {
    return this.length - this.stale;
  }

  /** Adds one; mostly the last. */
  add(number: number, slot: number): void {
    if (this.length === this.#numbers.length) this.#resize(this.length * 3 / 2);
    const at = this.length > 0 && number < this.number(this.length - 1)
      ? this.after(number)
      : this.length;
    if (at < this.length) {
      this.#numbers.copyWithin(at + 1, at, this.length);
      this.#slots.copyWithin(at + 1, at, this.length);
    }
    this.#numbers[at] = number;
    this.#slots[at] = slot;
    this.length++;
  }

  /** The index of the first whose number is above this one. */
  after(number: number): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.number(middle) > number) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Whether so much is stale that sweeping it out pays. */
  get wasteful(): boolean {
    return this.stale > SMALL && this.stale * 2 > this.length;
  }

  /** Takes out what is stale, and gives back memory. */
  sweep(isLive: (number: number, slot: number) => boolean): void {
    let kept = 0;
    for (let i = 0; i < this.length; i++) {
      const number = this.number(i);
      const slot = this.slot(i);
      if (!isLive(number, slot)) continue;
      this.#numbers[kept] = number;
      this.#slots[kept++] = slot;
    }
    this.length = kept;
    this.stale = 0;
    if (kept * 3 < this.#numbers.length) this.#resize(kept * 3 / 2);
  }

  /** Takes out the first ones. */
  shift(count: number): void {
    if (count === 0) return;
    this.#numbers.copyWithin(0, count, this.length);
    this.#slots.copyWithin(0, count, this.length);
    this.length -= count;
  }

  #resize(size: number): void {
    const length = Math.max(SMALL, Math.ceil(size));
    const numbers = new Float64Array(length);
    const slots = new Uint32Array(length);
    numbers.set(this.#numbers.subarray(0, Math.min(length, this.length)));
    slots.set(this.#slots.subarray(0, Math.min(length, this.length)));
    this.#numbers = numbers;
    this.#slots = slots;
  }
}
