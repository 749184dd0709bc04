/** One thing that is measured and held against a target. */
export interface Row {
  /** What is measured; unique in its area. */
  readonly what: string;
  /** The target, for a person: `"at least 0.5 of raw TCP"`. */
  readonly target: string;
  /**
   * Measures it. One that throws counts as a row that falls short, also where a
   * shortfall is known.
   */
  measure(options: MeasureOptions): Promise<Measurement>;
}

/** Options of {@linkcode Row.measure}. */
export interface MeasureOptions {
  /** Whether to measure a shorter time, or less: for a quick look, and for CI. */
  readonly short: boolean;
  /** The commit to compare with, for rows that do, instead of their own. */
  readonly base?: string;
  /** Tells a person how far the work is; for work over a few seconds. */
  progress(text: string): void;
}

/** What came out. */
export interface Measurement {
  /** With its unit: `"1.2 M/s"`. */
  readonly figure: string;
  /** Whether the target is met. */
  readonly held: boolean;
  /**
   * Whether this machine cannot measure it: `figure` then says why.
   *
   * @default {false}
   */
  readonly skipped?: boolean;
}

/** A row that is known to fall short. */
export interface Shortfall {
  /** The figure last seen. */
  readonly figure: string;
  /** Why. */
  readonly reason: string;
}

/** The known shortfalls of an area, by what is measured. */
export type Shortfalls = ReadonlyMap<string, Shortfall>;

/** Options of {@linkcode verify}. */
export interface VerifyOptions {
  /** Passed on to each row. */
  readonly short: boolean;
  /** Passed on to each row. */
  readonly base?: string;
  /** Writes a line. */
  print(line: string): void;
}

/** How many rows ended in which way. */
export interface Outcome {
  /** Rows that met their target. */
  readonly passed: number;
  /** Rows that fell short unexpectedly, and known shortfalls that are none. */
  readonly failed: number;
  /** Rows that fell short as known. */
  readonly known: number;
  /** Rows that this machine cannot measure. */
  readonly skipped: number;
}

/**
 * Measures the rows of an area one after the other and prints each. A known
 * shortfall does not fail the run; one that holds again does, as does one that
 * names no row, so that the list stays true.
 */
export async function verify(
  rows: readonly Row[],
  shortfalls: Shortfalls,
  { short, base, print }: VerifyOptions,
): Promise<Outcome> {
  const outcome = { passed: 0, failed: 0, known: 0, skipped: 0 };
  for (const row of rows) {
    const { figure, held, skipped = false, hasThrown } = await measure(row, {
      short,
      ...base !== undefined && { base },
      progress: (text) => print(`...    ${row.what}: ${text}`),
    });
    const line = `${row.what}: ${figure} (target: ${row.target})`;
    // What was not measured is no shortfall that is known.
    const shortfall = hasThrown ? undefined : shortfalls.get(row.what);
    if (skipped) {
      print(`skip   ${row.what}: not measured, ${figure}`);
      outcome.skipped++;
    } else if (shortfall === undefined) {
      print(`${held ? "held  " : "SHORT "} ${line}`);
      outcome[held ? "passed" : "failed"]++;
    } else if (held) {
      print(`HOLDS  ${line}: remove it from the known shortfalls`);
      outcome.failed++;
    } else {
      print(`known  ${line}; known: ${shortfall.figure}, ${shortfall.reason}`);
      outcome.known++;
    }
  }
  const names = new Set(rows.map(({ what }) => what));
  for (const what of shortfalls.keys()) {
    if (names.has(what)) continue;
    print(`STALE  ${what}: a known shortfall that no row measures`);
    outcome.failed++;
  }
  return outcome;
}

/**
 * Reads the known shortfalls of one area:
 * `{ "area": { "what": { "figure": "...", "reason": "..." } } }`.
 *
 * @throws {SyntaxError} If the text is malformed.
 */
export function parseShortfalls(text: string, area: string): Shortfalls {
  const areas: unknown = JSON.parse(text);
  const own = isRecord(areas) ? areas[area] ?? {} : undefined;
  if (!isRecord(own)) {
    throw new SyntaxError("Cannot read the known shortfalls: not an object");
  }
  const shortfalls = new Map<string, Shortfall>();
  for (const [what, entry] of Object.entries(own)) {
    if (!isShortfall(entry)) {
      throw new SyntaxError(
        `Cannot read the known shortfall "${what}": it needs a figure and a reason`,
      );
    }
    shortfalls.set(what, entry);
  }
  return shortfalls;
}

async function measure(
  row: Row,
  options: MeasureOptions,
): Promise<Measurement & { readonly hasThrown: boolean }> {
  try {
    return { ...await row.measure(options), hasThrown: false };
  } catch (error) {
    const figure = `not measured, ${error}`;
    return { figure, held: false, hasThrown: true };
  }
}

function isShortfall(value: unknown): value is Shortfall {
  return isRecord(value) && typeof value.figure === "string" &&
    typeof value.reason === "string";
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
