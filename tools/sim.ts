// deno-lint-ignore-file no-console -- writes for a person

/**
 * `deno task sim [scenario] [--seeds N] [--from SEED] [--router NAME]
 * [--membership NAME] [--picture FILE]`: runs a scenario, or all of them but the large
 * ones, with many seeds. Prints the figures; for a seed that fails, the least that makes
 * it fail. Exit code 1 where one failed, or a target was missed. The picture, an SVG,
 * shows the network at the end of the seed that failed, or of the last one.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { simulate, type SimulationReport } from "@devts/routing/testing";
import { MEMBERSHIPS, type Parts, ROUTERS } from "./sim/parts.ts";
import { LastNetwork } from "./sim/picture.ts";
import { LARGE, scenarioOf, SCENARIOS } from "./sim/registry.ts";
import { figuresText, reportText, shortOf } from "./sim/report.ts";

/** How often a person is told how far it is, in ms. */
const PROGRESS = 2_000;

const USAGE = `Usage: deno task sim [scenario] [options]

Runs clusters in virtual time, with faults: a scenario, or all of them but the large
ones.

  scenarios           ${Object.keys(SCENARIOS).join(", ")}
  large ones          ${Object.keys(LARGE).join(", ")}

Options:
  --seeds N           how many runs; 100 if left out
  --from SEED         the first one; 1 if left out
  --router NAME       ${Object.keys(ROUTERS).join(", ")}
  --membership NAME   ${Object.keys(MEMBERSHIPS).join(", ")}
  --picture FILE      draws how the run that failed, or the last one, ended: an SVG
  --help              show this help`;

/** Runs the command line, and resolves to the exit code. */
async function main(args: string[]): Promise<number> {
  const unknowns: string[] = [];
  const { _: [name], help, ...options } = parseArgs(args, {
    string: ["seeds", "from", "router", "membership", "picture"],
    boolean: ["help"],
    unknown: (option, key) => void (key && unknowns.push(option)),
  });
  if (help || unknowns.length > 0) {
    for (const option of unknowns) {
      console.error(`There is no option ${option}`);
    }
    console.log(USAGE);
    return help ? 0 : 2;
  }
  const large = LARGE[String(name)];
  const routerName = String(options.router ?? large?.router ?? "peer");
  const membershipName = String(options.membership ?? "swim");
  const seeds = Number(options.seeds ?? 100);
  const from = Number(options.from ?? 1);
  const names = name === undefined ? Object.keys(SCENARIOS) : [String(name)];
  const router = ROUTERS[routerName];
  const membership = MEMBERSHIPS[membershipName];
  const wrong =
    unknown("scenario", { ...SCENARIOS, ...LARGE }, names[0] ?? "") ??
      unknown("router", ROUTERS, routerName) ??
      unknown("membership", MEMBERSHIPS, membershipName) ??
      badCount("seeds", seeds) ?? badCount("from", from);
  if (wrong !== null || router === undefined || membership === undefined) {
    console.error(wrong);
    return 2;
  }
  const command =
    `deno task sim %s --router ${routerName} --membership ${membershipName}`;
  let failed = 0;
  for (const scenario of names) {
    const isHeld = await runScenario(
      scenario,
      { router, membership },
      {
        seeds,
        from,
        picture: options.picture === undefined ? null : String(options.picture),
      },
      command.replace("%s", scenario),
    );
    if (!isHeld) failed++;
  }
  return failed === 0 ? 0 : 1;
}

async function runScenario(
  name: string,
  parts: Parts,
  { seeds, from, picture }: {
    readonly seeds: number;
    readonly from: number;
    readonly picture: string | null;
  },
  command: string,
): Promise<boolean> {
  const start = performance.now();
  let told = start;
  const last = new LastNetwork();
  const report = await scenarioOf(name)?.(parts).use<Promise<SimulationReport>>(
    (scenario) =>
      simulate(picture === null ? scenario : last.of(scenario), {
        seeds,
        from,
        progress: (report) => {
          const now = performance.now();
          if (now - told < PROGRESS) return;
          told = now;
          const { seeds: done } = report;
          console.log(
            `...    ${name}: ${done} of ${seeds} seeds, ${figuresText(report)}`,
          );
        },
      }),
  );
  if (report === undefined) return false;
  const seconds = (performance.now() - start) / 1000;
  console.log(reportText(name, report, seconds, command));
  if (picture !== null) await draw(picture, name, report, from, last);
  return report.failure === null && report.missed.length === 0;
}

async function draw(
  file: string,
  name: string,
  { seeds, failure }: SimulationReport,
  from: number,
  last: LastNetwork,
): Promise<void> {
  const svg = failure === null
    ? last.svg(`${name}, seed ${from + seeds - 1}`, "at its end")
    : last.svg(`${name}, seed ${failure.seed}`, shortOf(failure.error));
  if (svg === null) return;
  await Deno.writeTextFile(file, svg);
  console.log(`  picture: ${file}`);
}

function unknown(
  what: string,
  known: Readonly<Record<string, unknown>>,
  name: string,
): string | null {
  if (Object.hasOwn(known, name)) return null;
  const names = Object.keys(known).join(", ");
  return `Cannot simulate with the ${what} "${name}": there is ${names}`;
}

function badCount(what: string, value: number): string | null {
  if (Number.isSafeInteger(value) && value >= 1) return null;
  return `Cannot use ${value} as --${what}: it must be an integer from 1 on`;
}

if (import.meta.main) Deno.exitCode = await main(Deno.args);
