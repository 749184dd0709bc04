const SMALL = 16;
/** What comes so little too late is put where it belongs; of more, all is sorted when it is asked for. */
const NEAR = 64;
/** How many values a digit has where numbers are sorted by digits. */
const DIGIT = 2_048;

/**
 * Which slots hold something of a rising number: packed, and in the order of the numbers
 * for those who ask from where on. What a slot no longer holds stays behind as stale, and
 * is swept out when it is half.
 */
export class Log {
  length = 0;
  /** How many of them are stale. */
  stale = 0;
  #numbers: Float64Array = new Float64Array(SMALL);
  #slots: Uint32Array = new Uint32Array(SMALL);
  #isSorted = true;

  /** The number at an index that `after` told of. */
  number(index: number): number {
    return this.#numbers[index] ?? 0;
  }

  /** The slot at an index that `after` told of. */
  slot(index: number): number {
    return this.#slots[index] ?? 0;
  }

  /** How many are not stale. */
  get live(): number {
    return this.length - this.stale;
  }

  /** Adds one; mostly the last. */
  add(number: number, slot: number): void {
    const { length } = this;
    if (length === this.#numbers.length) this.#resize(length * 3 / 2);
    let at = length;
    if (at > 0 && number < this.number(at - 1) && this.#isSorted) {
      if (at < NEAR || number >= this.number(at - NEAR)) {
        at = this.after(number);
      } else this.#isSorted = false;
    }
    if (at < length) {
      this.#numbers.copyWithin(at + 1, at, length);
      this.#slots.copyWithin(at + 1, at, length);
    }
    this.#numbers[at] = number;
    this.#slots[at] = slot;
    this.length++;
  }

  /** The index of the first whose number is above this one; from there on they rise. */
  after(number: number): number {
    if (!this.#isSorted) this.#sort();
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

  /** By digits, the lowest first (Knuth, algorithm 5.2.5R): a million take some 30 ms. */
  #sort(): void {
    this.#isSorted = true;
    const { length } = this;
    let lowest = Infinity;
    let highest = -Infinity;
    for (let i = 0; i < length; i++) {
      lowest = Math.min(lowest, this.number(i));
      highest = Math.max(highest, this.number(i));
    }
    let numbers: Float64Array = new Float64Array(this.#numbers.length);
    let slots: Uint32Array = new Uint32Array(this.#slots.length);
    for (let unit = 1; unit <= highest - lowest; unit *= DIGIT) {
      const places = this.#places(lowest, unit);
      for (let i = 0; i < length; i++) {
        const number = this.number(i);
        const digit = digitOf(number - lowest, unit);
        const at = places[digit] ?? 0;
        places[digit] = at + 1;
        numbers[at] = number;
        slots[at] = this.slot(i);
      }
      [this.#numbers, numbers] = [numbers, this.#numbers];
      [this.#slots, slots] = [slots, this.#slots];
    }
  }

  /** Where the first number with each digit goes. */
  #places(lowest: number, unit: number): Uint32Array {
    const places = new Uint32Array(DIGIT + 1);
    for (let i = 0; i < this.length; i++) {
      const after = digitOf(this.number(i) - lowest, unit) + 1;
      places[after] = (places[after] ?? 0) + 1;
    }
    for (let digit = 1; digit < DIGIT; digit++) {
      places[digit] = (places[digit] ?? 0) + (places[digit - 1] ?? 0);
    }
    return places;
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

function digitOf(number: number, unit: number): number {
  return Math.floor(number / unit) % DIGIT;
}
