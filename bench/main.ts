// deno-lint-ignore-file no-console -- writes for a person

/**
 * `deno task bench [TEXT]` measures devts against raw TCP and prints Markdown,
 * `deno task bench:peers [TEXT]` measures the other event systems, too. With a text,
 * only the works whose name contains it are measured.
 *
 * `--over tls` and `--over quic` measure devts with a secret over that, against raw
 * connections of the same kind.
 *
 * With `--peers` and without a text, the report is also written to `docs/`.
 *
 * @module
 */

import { createSecret, secretText } from "@devts/protocol/secret";
import { parseArgs } from "@std/cli/parse-args";
import { ROOT } from "../tools/members.ts";
import { chart } from "./chart.ts";
import { devts, devtsOver } from "./devts_peer.ts";
import { measure } from "./measure.ts";
import type { Peer } from "./peer.ts";
import { raw, rawOver } from "./raw_peer.ts";
import { markdown, type Missing, type Report, type Table } from "./report.ts";
import { platform, type Versions } from "./versions.ts";
import { WORKS } from "./works.ts";

const REPETITIONS = 5;
/** How long each turn takes, in ms: so that the quick form takes less than 2 minutes. */
const DURATION = 700;

/** Everyone who takes part. */
interface Entrants {
  readonly peers: readonly Peer[];
  readonly missing: readonly Missing[];
}

/** Runs the command line, and resolves to the exit code. */
async function main(args: string[]): Promise<number> {
  const { _: rest, peers: all, over } = parseArgs(args, {
    boolean: ["peers"],
    string: ["over"],
  });
  if (over !== undefined && over !== "tls" && over !== "quic") {
    console.error(`Cannot measure over "${over}": it is "tls" or "quic"`);
    return 2;
  }
  const text = rest.join(" ");
  const works = WORKS.filter(({ name }) => name.includes(text));
  if (works.length === 0) {
    console.error(
      `Cannot measure "${text}": the works are\n${
        WORKS.map(({ name }) => `  ${name}`).join("\n")
      }`,
    );
    return 2;
  }
  const { peers, missing } = all ? await everyone() : quick(over);
  const tables: Table[] = [];
  for (const work of works) {
    const results = await measure(work, peers, {
      repetitions: REPETITIONS,
      duration: DURATION,
      progress: (line) => console.error(`${work.name}: ${line}`),
    });
    tables.push({ work, results });
  }
  const report = {
    repetitions: REPETITIONS,
    tables,
    platform: await platform(),
    versions: await versionsOf(peers),
    missing,
  };
  console.log(markdown(report));
  if (all && text === "") await write(report);
  return failed(report) ? 1 : 0;
}

function quick(over: "tls" | "quic" | undefined): Entrants {
  if (over === undefined) return { peers: [raw, devts], missing: [] };
  const secret = secretText(createSecret());
  const peers = [rawOver(over, secret), devtsOver(over, secret)];
  return { peers, missing: [] };
}

/** Loaded only when asked for: it installs the packages of the others. */
async function everyone(): Promise<Entrants> {
  const { peers } = await import("./peers/mod.ts");
  const others = await peers();
  return { peers: [raw, devts, ...others.peers], missing: others.missing };
}

async function versionsOf(
  peers: readonly Peer[],
): Promise<ReadonlyMap<string, Versions>> {
  const versions = new Map<string, Versions>();
  for (const peer of peers) versions.set(peer.name, await peer.versions());
  return versions;
}

async function write(report: Report): Promise<void> {
  const docs = new URL("docs/", ROOT);
  const text = new URL("benchmark.md", docs);
  const image = new URL("benchmark.svg", docs);
  await Deno.mkdir(docs, { recursive: true });
  await Deno.writeTextFile(image, chart(report.tables, devts.name));
  await Deno.writeTextFile(text, markdown(report, "benchmark.svg"));
  // As the rest of the checkout.
  const args = ["fmt", "--quiet", text.pathname, image.pathname];
  await new Deno.Command(Deno.execPath(), { args }).output();
}

/** Says which runs failed; whether there are any. */
function failed({ tables, missing }: Report): boolean {
  const failures = tables.flatMap(({ work, results }) =>
    results.filter(({ failure }) => failure !== undefined).map((result) =>
      `${work.name}: ${result.peer} ${result.failure}`
    )
  );
  for (const failure of failures) console.error(failure);
  for (const { name, reason } of missing) console.error(`${name}: ${reason}`);
  return failures.length > 0 || missing.length > 0;
}

if (import.meta.main) Deno.exitCode = await main(Deno.args);
