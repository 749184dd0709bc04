/** Messages as honest nodes send them, to be mutated. */
export interface Corpus {
  /** Those of handshakes. */
  readonly handshake: readonly Uint8Array[];
  /** Those after handshakes. */
  readonly frames: readonly Uint8Array[];
}

/** What a stranger sends. */
export interface Mutant {
  /** As they go over the wire: a length, then the message. */
  readonly wire: Uint8Array;
  /** Whether the length is a lie, so that nothing that follows makes sense. */
  readonly lies: boolean;
}

const HEADER = 4;
const LONGEST = 70_000;
const NASTY = [
  0x00,
  0x01,
  0x7f,
  0x80,
  0x91,
  0xc1,
  0xc6,
  0xc9,
  0xdb,
  0xdd,
  0xdf,
  0xff,
];
const LIES = [0, 1, 3, 4_097, 1_048_577, 2 ** 31, 2 ** 32 - 1];

/** Makes hostile messages out of honest ones, the same for the same randomness. */
export class Mutator {
  readonly #random: () => number;
  readonly #corpus: Corpus;
  readonly #crafted: readonly Uint8Array[];

  /** `random` gives numbers from 0 to below 1. */
  constructor(random: () => number, corpus: Corpus) {
    this.#random = random;
    this.#corpus = corpus;
    this.#crafted = [...craftedFrames(), ...corpus.handshake];
  }

  /** A message in place of one of a handshake. */
  handshake(honest: Uint8Array): Mutant {
    return this.#send(this.#mutate(honest, this.#corpus.handshake));
  }

  /** A message after a handshake. */
  frame(): Mutant {
    const { frames } = this.#corpus;
    if (this.#below(10) === 0) return this.#send(this.#pick(this.#crafted));
    return this.#send(this.#mutate(this.#pick(frames), frames));
  }

  #mutate(message: Uint8Array, others: readonly Uint8Array[]): Uint8Array {
    switch (this.#below(7)) {
      case 0:
        return this.#flip(message);
      case 1:
        return this.#overwrite(message);
      case 2:
        return message.subarray(0, this.#below(message.length));
      case 3:
        return this.#duplicate(message);
      case 4:
        return this.#splice(message, this.#pick(others));
      case 5:
        return this.#noise();
      default:
        return this.#overwrite(this.#flip(message));
    }
  }

  #send(message: Uint8Array): Mutant {
    const wire = new Uint8Array(HEADER + message.length);
    wire.set(message, HEADER);
    const lies = this.#below(20) === 0;
    const length = lies
      ? this.#pick([...LIES, message.length + 1])
      : message.length;
    new DataView(wire.buffer).setUint32(0, length);
    return { wire, lies: length !== message.length };
  }

  #flip(message: Uint8Array): Uint8Array {
    const mutated = message.slice();
    for (let i = this.#below(8); i >= 0; i--) {
      const at = this.#place(mutated.length);
      mutated[at] = (mutated[at] ?? 0) ^ 1 << this.#below(8);
    }
    return mutated;
  }

  #overwrite(message: Uint8Array): Uint8Array {
    const mutated = message.slice();
    for (let i = this.#below(8); i >= 0; i--) {
      mutated[this.#place(mutated.length)] = this.#pick(NASTY);
    }
    return mutated;
  }

  #duplicate(message: Uint8Array): Uint8Array {
    const start = this.#below(message.length);
    const part = message.subarray(
      start,
      start + 1 + this.#below(message.length - start),
    );
    const end = this.#below(message.length);
    return join(message.subarray(0, end), part, message.subarray(end));
  }

  #splice(message: Uint8Array, other: Uint8Array): Uint8Array {
    return join(
      message.subarray(0, this.#below(message.length)),
      other.subarray(this.#below(other.length)),
    );
  }

  #noise(): Uint8Array {
    return Uint8Array.from(
      { length: this.#below(300) },
      () => this.#below(256),
    );
  }

  /** Mostly near the start, where the structure is. */
  #place(length: number): number {
    return this.#below(4) === 0
      ? this.#below(length)
      : this.#below(Math.min(48, length));
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  #pick<T>(of: readonly T[]): T {
    const item = of[this.#below(of.length)];
    if (item === undefined) {
      throw new RangeError("There is nothing to pick from");
    }
    return item;
  }
}

/** Every type of frame, and MessagePack that is nested, long or a lie. */
function* craftedFrames(): Generator<Uint8Array> {
  for (let type = 0; type < 256; type++) {
    yield Uint8Array.of(type, 0, 0, 0, 1, 2, 3);
  }
  const bombs = [
    new Array(5_000).fill(0x91), // arrays in arrays
    new Array(3_000).fill([0x81, 0xa1, 0x61]).flat(), // maps in maps
    [0xdd, 0xff, 0xff, 0xff, 0xff], // four billion items
    [0xdf, 0xff, 0xff, 0xff, 0xff],
    [0xc6, 0xff, 0xff, 0xff, 0xff, 1], // four billion bytes
    [0xdb, 0x7f, 0xff, 0xff, 0xff, 0x61],
    [0xdc, 0xff, 0xff, ...new Array(65_535).fill(0xc0)], // many items
    [0xdc, 0x40, 0x00, ...new Array(16_384).fill(0x80)],
    [0x81, 0xa9, ...new TextEncoder().encode("__proto__"), 0x80],
    [0xc7, 4, 1, 0, 0, 0, 0], // an extension
    [0xc1],
    [],
  ];
  for (const bomb of bombs) yield eventFrame("echo", bomb);
}

/** A frame with a bundle of one event. */
export function eventFrame(name: string, data: readonly number[]): Uint8Array {
  return bundleFrame(0, name, [], data);
}

/** A frame with a bundle of one request. */
export function requestFrame(
  name: string,
  id: number,
  data: readonly number[],
): Uint8Array {
  return bundleFrame(1, name, uint32(id), data);
}

function bundleFrame(
  type: number,
  name: string,
  id: readonly number[],
  data: readonly number[],
): Uint8Array {
  const text = new TextEncoder().encode(name);
  const entry = [
    type,
    254,
    ...uint32(data.length),
    ...id,
    text.length,
    ...text,
    ...data,
  ];
  return Uint8Array.from([0x10, 0, 0, 0, 1, 0, ...entry]);
}

function uint32(value: number): number[] {
  return [value >>> 24, value >>> 16 & 0xff, value >>> 8 & 0xff, value & 0xff];
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  const length = Math.min(
    LONGEST,
    parts.reduce((sum, part) => sum + part.length, 0),
  );
  const bytes = new Uint8Array(length);
  let end = 0;
  for (const part of parts) {
    bytes.set(part.subarray(0, length - end), end);
    end = Math.min(length, end + part.length);
  }
  return bytes;
}
