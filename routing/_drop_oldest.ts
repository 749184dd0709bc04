/** A map or a set, which keeps its entries in the order in which they came. */
interface Kept<K> {
  readonly size: number;
  keys(): Iterable<K>;
  delete(key: K): boolean;
}

/** Takes out the entry that came first if there are more than `most`; whether that was so. */
export function dropOldest<K>(kept: Kept<K>, most: number): boolean {
  if (kept.size <= most) return false;
  for (const oldest of kept.keys()) return kept.delete(oldest);
  return false;
}
