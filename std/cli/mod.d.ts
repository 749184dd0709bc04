/** What {@linkcode parseArgs} accepts, of the real package's options. */
export interface ParseOptions {
  readonly boolean?: readonly string[];
  readonly string?: readonly string[];
  readonly collect?: readonly string[];
  readonly negatable?: readonly string[];
  readonly alias?: Readonly<Record<string, string | readonly string[]>>;
  readonly default?: Readonly<Record<string, unknown>>;
  readonly stopEarly?: boolean;
  readonly unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

/**
 * Parsed arguments: the positional ones in `_`, each option under its name. The
 * real package infers narrower types; what passes with `unknown` passes with those.
 */
export interface Args {
  _: (string | number)[];
  [name: string]: unknown;
}

/** Parses command line arguments. */
export function parseArgs(args: string[], options?: ParseOptions): Args;
