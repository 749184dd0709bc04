/** An array of packed numbers. */
type Column = Float64Array | Uint32Array | Uint16Array | Uint8Array;

/** A longer column with the same numbers. */
export function grown<A extends Column>(from: A, to: A): A {
  to.set(from);
  return to;
}
