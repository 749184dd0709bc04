// deno-lint-ignore-file no-console -- writes for a person

/**
 * `deno task verify AREA [--short] [--base COMMIT]`: measures the rows of an area, prints
 * each with its figure and target, and fails when one falls short unexpectedly.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { parseShortfalls, type Row, verify } from "./verify/runner.ts";

/** The areas, each loaded only when it is asked for. */
const AREAS: ReadonlyMap<
  string,
  () => Promise<{ readonly rows: readonly Row[] }>
> = new Map([
  ["cluster", () => import("./verify/cluster.ts")],
  ["speed", () => import("./verify/speed.ts")],
  ["routing", () => import("./verify/routing.ts")],
  ["security", () => import("./verify/security.ts")],
  ["state", () => import("./verify/state.ts")],
  ["messaging", () => import("./verify/messaging.ts")],
]);

/** Runs the command line, and resolves to the exit code. */
async function main(args: string[]): Promise<number> {
  const { _: [name], short, base } = parseArgs(args, {
    boolean: ["short"],
    string: ["base"],
  });
  const area = String(name ?? "");
  const load = AREAS.get(area);
  if (load === undefined) {
    console.error(
      `Cannot verify "${area}": the areas are ${[...AREAS.keys()].join(", ")}`,
    );
    return 2;
  }
  const known = await Deno.readTextFile(
    new URL("./verify/known.json", import.meta.url),
  );
  const { rows } = await load();
  const { passed, failed, known: expected, skipped } = await verify(
    rows,
    parseShortfalls(known, area),
    {
      short: short === true,
      ...typeof base === "string" && { base },
      print: (line) => console.log(line),
    },
  );
  console.log(
    `verify ${area} | ${passed} passed | ${failed} failed | ${expected} known to fall short | ${skipped} skipped`,
  );
  return failed === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exitCode = await main(Deno.args);
