import * as fc from "fast-check";

/** A kind of value that not every format carries. */
export type ValueKind = "bytes" | "bigint" | "non-finite";

/**
 * Makes random plain data: nested, of every kind that `skip` does not name.
 *
 * @param skip The kinds to leave out.
 * @returns The arbitrary.
 */
export function plainData(
  skip: Readonly<Partial<Record<ValueKind, string>>> = {},
): fc.Arbitrary<unknown> {
  const text = fc.string({ unit: "binary", maxLength: 80 })
    .filter((string) => !string.startsWith("\uFEFF"));
  const number = fc.double({
    noNaN: "non-finite" in skip,
    noDefaultInfinity: "non-finite" in skip,
  }).map((x) => x === 0 ? 0 : x); // -0 arrives as 0
  const scalars: fc.Arbitrary<unknown>[] = [
    fc.constantFrom(null, true, false),
    fc.integer(),
    fc.maxSafeInteger(),
    number,
    text,
  ];
  if (!("bytes" in skip)) scalars.push(fc.uint8Array({ maxLength: 300 }));
  if (!("bigint" in skip)) {
    scalars.push(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }));
  }
  const key = text.filter((string) => string !== "__proto__");
  const { data } = fc.letrec((tie) => ({
    data: fc.oneof(
      { depthSize: "small", maxDepth: 6 },
      ...scalars,
      fc.array(tie("data"), { maxLength: 20 }),
      fc.dictionary(key, tie("data"), { maxKeys: 20, noNullPrototype: true }),
    ),
  }));
  return data;
}
