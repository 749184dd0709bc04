// deno-lint-ignore-file no-console -- writes for a person

/**
 * `deno task secret` prints a new secret; `deno task keys` makes and signs keys of nodes:
 *
 * ```text
 * deno task keys new FILE               a key of a node, or of an authority; prints its public key
 * deno task keys sign AUTHORITY KEY     what the authority in this file grants to a public key
 *   --cluster NAME [--days N] [--emit NAMES] [--handle NAMES]
 * ```
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import {
  createIdentityFile,
  readIdentityFile,
  signIdentity,
} from "@devts/devts/identity";
import { keyText, nodeIdOf, parseKey } from "@devts/protocol/identity";
import { createSecret, secretText } from "@devts/protocol/secret";

const DAY = 86_400_000;
const USAGE = `Usage:
  deno task secret                     prints a new secret
  deno task keys new FILE              makes a key in a file, and prints its public key
  deno task keys sign AUTHORITY KEY --cluster NAME [--days N] [--emit NAMES --handle NAMES]
                                       prints what the authority in a file grants to a public
                                       key, for N days (365); with names, separated by commas,
                                       to a guest who may emit and handle those alone`;

/** Runs the command line, and resolves to the exit code. */
async function main(args: string[]): Promise<number> {
  const { _: [command, ...rest], ...options } = parseArgs(
    args,
    {
      string: ["_", "cluster", "days", "emit", "handle"],
    },
  );
  const [first, second] = rest.map(String);
  const [cluster, days, emit, handle] = [
    options.cluster,
    options.days,
    options.emit,
    options.handle,
  ].map((value) => typeof value === "string" ? value : undefined);
  if (command === "secret") console.log(secretText(createSecret()));
  else if (command === "new" && first !== undefined) await make(first);
  else if (command === "sign" && first && second && cluster) {
    await sign(first, second, { cluster, days, emit, handle });
  } else {
    console.error(USAGE);
    return 2;
  }
  return 0;
}

async function make(path: string): Promise<void> {
  const { id, key } = await createIdentityFile(path);
  console.error(`The node with this key has the id ${id}. Its public key:`);
  console.log(keyText(key));
}

async function sign(
  path: string,
  text: string,
  options: {
    readonly cluster: string;
    readonly days?: string | undefined;
    readonly emit?: string | undefined;
    readonly handle?: string | undefined;
  },
): Promise<void> {
  const { cluster, days = "365", emit, handle } = options;
  const key = parseKey(text);
  const now = Date.now();
  const isGuest = emit !== undefined || handle !== undefined;
  const names = (list = ""): string[] => list.split(",").filter(Boolean);
  const rights = { emit: names(emit), handle: names(handle) };
  console.log(
    await signIdentity(await readIdentityFile(path), {
      ...{ cluster, key, from: now - DAY, until: now + Number(days) * DAY },
      ...(isGuest ? { rights } : {}),
    }),
  );
  console.error(`Signed for node ${await nodeIdOf(key)}.`);
}

if (import.meta.main) Deno.exitCode = await main(Deno.args);
