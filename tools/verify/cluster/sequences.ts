/** Checks that numbered events arrive whole, in order, none twice. */
export class Sequences {
  /** How many arrived out of order, twice or malformed. */
  wrong = 0;
  readonly #next = new Map<string, number>();

  /** Takes an event: the round and the number in it as 32 bits each, then filling. */
  add(from: string, bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const key = `${view.getUint32(0)} ${from}`;
    const number = view.getUint32(4);
    const isWhole = bytes.length === 128 && bytes[8] === number % 256 &&
      bytes[127] === bytes[8];
    if (!isWhole || number !== (this.#next.get(key) ?? 0)) this.wrong++;
    this.#next.set(key, number + 1);
  }

  /** How many senders' events of a round have arrived, all `count` of them. */
  complete(round: number, count: number): number {
    let complete = 0;
    for (const [key, next] of this.#next) {
      if (key.startsWith(`${round} `) && next === count) complete++;
    }
    return complete;
  }
}
