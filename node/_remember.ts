/** Puts an entry at the end of a map, and takes out the first one if there are more than `most`. */
export function remember<V>(
  map: Map<string, V>,
  key: string,
  value: V,
  most: number,
): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= most) return;
  for (const oldest of map.keys()) return void map.delete(oldest);
}
