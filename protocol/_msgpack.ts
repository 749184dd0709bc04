import type { Judge } from "./data.ts";

/** What MessagePack carries of scalars, as the scan before decoding accepts it. */
export const judge: Judge = function judge(value): string | null {
  if (typeof value === "string") {
    return value.startsWith("\uFEFF")
      ? "a string may not start with a byte order mark"
      : null;
  }
  if (typeof value !== "bigint" || fits(value)) return null;
  return "a bigint must fit into 64 bits";
};

function fits(value: bigint): boolean {
  return value >= -(2n ** 63n) && value < 2n ** 64n;
}

/** A view that is a plain `Uint8Array` even where the source is a subclass of it. */
export function view(
  source: Uint8Array,
  start: number,
  end: number,
): Uint8Array {
  return new Uint8Array(source.buffer, source.byteOffset + start, end - start);
}
