/** What swim() tells of a node. */
export interface Rumour {
  /** What is told. */
  readonly kind: "alive" | "suspect" | "dead" | "left";
  /** Of whom. */
  readonly id: string;
  /** Under which incarnation. */
  readonly incarnation: number;
  /**
   * Where it can be dialled, if it is alive.
   *
   * @default {[]}
   */
  readonly addresses?: readonly string[];
}

const KINDS = { alive: 1, suspect: 2, dead: 3, left: 4 } as const;
/** A frame of the control lane, a payload of the membership, version 1, news. */
const HEAD = [0x11, 0, 0, 0, 2, 1, 5];

/** A frame with what is told of some nodes, true or not. */
export function news(rumours: readonly Rumour[]): Uint8Array {
  const bytes = [...HEAD];
  for (const { kind, id, incarnation, addresses = [] } of rumours) {
    bytes.push(KINDS[kind], ...text(id));
    bytes.push(...uint32(Math.floor(incarnation / 2 ** 32)));
    bytes.push(...uint32(incarnation % 2 ** 32));
    if (kind === "alive") {
      bytes.push(addresses.length, ...addresses.flatMap(text), 0, 0);
    }
    if (kind === "suspect") bytes.push(1, ...text("mallory"));
  }
  return Uint8Array.from(bytes);
}

function text(value: string): number[] {
  const bytes = new TextEncoder().encode(value);
  return [bytes.length >> 8, bytes.length & 0xff, ...bytes];
}

function uint32(value: number): number[] {
  return [value >>> 24, value >>> 16 & 0xff, value >>> 8 & 0xff, value & 0xff];
}
