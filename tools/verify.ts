// deno-lint-ignore-file no-console -- writes for a person

/**
 * `deno task verify AREA [--short] [--base COMMIT]`: measures the rows of an area, prints
 * each with its figure and target, and fails when one falls short unexpectedly.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { parseShortfalls, type Row, verify } from "./verify/runner.ts";

/** An area. */
interface Area {
  /** What its rows measure, for the help. */
  readonly about: string;
  /** Loads its rows: only when they are asked for. */
  readonly load: () => Promise<{ readonly rows: readonly Row[] }>;
}

const AREAS: ReadonlyMap<string, Area> = new Map([
  ["cluster", {
    about: "joining, leaving, failing, and strangers at the door",
    load: () => import("./verify/cluster.ts"),
  }],
  ["speed", {
    about: "throughput, latency, CPU and memory beside raw TCP",
    load: () => import("./verify/speed.ts"),
  }],
  ["routing", {
    about: "routers and membership, simulated and in network namespaces",
    load: () => import("./verify/routing.ts"),
  }],
  ["security", {
    about: "transports, handshakes, permissions, hostile peers",
    load: () => import("./verify/security.ts"),
  }],
  ["state", {
    about: "replicated state: partitions, crashes, storage",
    load: () => import("./verify/state.ts"),
  }],
  ["messaging", {
    about: "streams, interest, groups, deliveries, contracts",
    load: () => import("./verify/messaging.ts"),
  }],
]);

const HELP = `Usage: deno task verify AREA [options]

Measures what the documentation promises, and prints each figure beside its target:
"held", "SHORT", "known" to fall short (tools/verify/known.json), or "skip". Ends with
status 1 where one falls short unexpectedly.

Areas:
${
  [...AREAS].map(([name, { about }]) => `  ${name.padEnd(13)}  ${about}`)
    .join("\n")
}

Options:
  --short        measure a shorter time, or less
  --base COMMIT  compare with this commit, for rows that compare
  --help         show this help`;

/** Runs the command line, and resolves to the exit code. */
async function main(args: string[]): Promise<number> {
  const wrong: string[] = [];
  const { _: [name, ...more], short, base, help } = parseArgs(args, {
    boolean: ["short", "help"],
    string: ["base"],
    unknown: (arg, key) => key === undefined || wrong.push(arg) === 0,
  });
  if (help) {
    console.log(HELP);
    return 0;
  }
  const area = String(name ?? "");
  const known = AREAS.get(area);
  const fault = wrong.length + more.length > 0
    ? `there is no option ${[...wrong, ...more].join(" ")}`
    : known === undefined
    ? `the areas are ${[...AREAS.keys()].join(", ")}`
    : null;
  if (known === undefined || fault !== null) {
    console.error(`Cannot verify "${area}": ${fault}; see --help`);
    return 2;
  }
  const shortfalls = await Deno.readTextFile(
    new URL("./verify/known.json", import.meta.url),
  );
  const { rows } = await known.load();
  const { passed, failed, known: expected, skipped } = await verify(
    rows,
    parseShortfalls(shortfalls, area),
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
