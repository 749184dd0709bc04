import { parseArgs } from "@std/cli/parse-args";
import type { NodeOptions } from "@devts/devts";
import { readSecretFile } from "@devts/devts/identity";

/** An option of a program: one with a value names it, one without is a flag. */
export interface Option {
  /** What stands for the value in the help: `FILE`. */
  readonly value?: string;
  /** What it does. */
  readonly help: string;
}

/** What a program understands. */
export interface Usage {
  /** The program and its arguments: `web.ts [cluster port] [host port]`. */
  readonly synopsis: string;
  /** The permissions that it needs: `--allow-net=127.0.0.1`. */
  readonly permissions: string;
  /** What it does, in a sentence or two. */
  readonly about: string;
  /** How many arguments without a name it takes at most. */
  readonly positional: number;
  /** Its options, by name. */
  readonly options: Readonly<Record<string, Option>>;
}

/** What the user wrote. */
export interface Arguments {
  /** Arguments without a name, in order. */
  readonly positional: readonly string[];
  /** The values of options, by name. */
  readonly values: ReadonlyMap<string, string>;
  /** The flags that are set. */
  readonly flags: ReadonlySet<string>;
}

/** The options of every program that runs a node. */
export const NODE_OPTIONS: Usage["options"] = {
  id: {
    value: "NAME",
    help: "the id of the node; chosen at random if left out",
  },
  cluster: {
    value: "NAME",
    help: 'the name of the cluster; "example" if left out',
  },
  port: {
    value: "N",
    help: "the cluster port to listen on; any free one if left out",
  },
  host: {
    value: "HOST",
    help: "the address to listen on; 127.0.0.1 if left out",
  },
  "secret-file": {
    value: "FILE",
    help: "what `deno task secret` printed: encrypts, and keeps strangers out",
  },
};

const HELP: Option = { help: "show this help" };

/** The arguments do not fit the program. The message says what to change. */
export class UsageError extends Error {
  /** Makes the error. */
  constructor(message: string) {
    super(message);
    this.name = "UsageError";
  }
}

/**
 * Reads the arguments of a program.
 *
 * @throws {UsageError} If there is one that the program does not know.
 */
export function readArguments(
  usage: Usage,
  args: readonly string[],
): Arguments {
  const options: Usage["options"] = { ...usage.options, help: HELP };
  const names = Object.keys(options);
  const withValue = names.filter((name) => options[name]?.value !== undefined);
  const flags = names.filter((name) => options[name]?.value === undefined);
  const parsed = parseArgs([...args], {
    string: ["_", ...withValue],
    boolean: flags,
    unknown: (arg, key) => {
      if (key !== undefined) throw new UsageError(`There is no option ${arg}`);
    },
  });
  if (parsed._.length > usage.positional) {
    throw new UsageError(
      `"${parsed._[usage.positional]}" is one argument too many`,
    );
  }
  const values = new Map<string, string>();
  for (const name of withValue) {
    const value: unknown = parsed[name];
    if (value === "") throw new UsageError(`--${name} needs a value`);
    if (typeof value === "string") values.set(name, value);
  }
  return {
    positional: parsed._.map(String),
    values,
    flags: new Set(flags.filter((name) => parsed[name] === true)),
  };
}

/** The help of a program. */
export function helpOf(usage: Usage): string {
  const rows = Object.entries({ ...usage.options, help: HELP }).map(
    ([name, { value, help }]) => [`--${name}${value ? ` ${value}` : ""}`, help],
  );
  return [
    `Usage: deno run ${usage.permissions} examples/${usage.synopsis} [options]`,
    "",
    usage.about,
    "",
    "Options:",
    ...rows.map(([option = "", help]) => `  ${option.padEnd(18)}  ${help}`),
  ].join("\n");
}

/** What a node needs to know of the arguments. */
export interface NodeArguments {
  /** For `createNode`: the cluster, and the id and the secret where they were given. */
  readonly options: Pick<NodeOptions, "cluster" | "id" | "secret">;
  /** For `listen`: the address with the port to listen on. */
  readonly listen: string;
  /** For `join`: the address of the entry node, where one was given. */
  readonly entries: readonly string[];
}

/**
 * Reads what a node needs: {@linkcode NODE_OPTIONS}, and the cluster port as the
 * first argument, or several with commas in between.
 *
 * @param scheme What a bare port belongs to: 7946 means `tcp://127.0.0.1:7946`.
 * Rejects with a {@linkcode UsageError} if a port is no port, and with what reading the
 * secret throws.
 */
export async function nodeArguments(
  { positional: [entry], values }: Arguments,
  scheme = "tcp",
): Promise<NodeArguments> {
  const id = values.get("id");
  const port = portOf(values.get("port") ?? "0", "--port");
  const host = values.get("host") ?? "127.0.0.1";
  const file = values.get("secret-file");
  return {
    options: {
      cluster: values.get("cluster") ?? "example",
      ...id !== undefined && { id },
      ...file !== undefined && { secret: await readSecretFile(file) },
    },
    listen: `${scheme}://${host}:${port}`,
    entries: entry === undefined
      ? []
      : entry.split(",").map((one) => addressOf(one, scheme)),
  };
}

/**
 * Reads a port.
 *
 * @param what What the user calls it.
 * @throws {UsageError} If it is none.
 */
export function portOf(text: string, what: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) < 2 ** 16) return Number(text);
  throw new UsageError(`${what} is a number from 0 to 65535, not "${text}"`);
}

/** On this machine the port says it all; elsewhere it takes the whole address. */
function addressOf(entry: string, scheme: string): string {
  if (entry.includes("://")) return entry;
  return `${scheme}://127.0.0.1:${portOf(entry, "The cluster port")}`;
}
