/** A package of the checkout that is published. */
export interface Member {
  /** Its folder, ending in a slash. */
  readonly folder: URL;
  /** With the scope: `@devts/transport`. */
  readonly name: string;
  /** A semantic version. */
  readonly version: string;
  /** Entry to file: `{ "./tcp": "./tcp.ts" }`. */
  readonly exports: ReadonlyMap<string, string>;
}

/** The root of the checkout. */
export const ROOT: URL = new URL("../", import.meta.url);

/** The published packages, in the order of the workspace, the root last. */
export async function publishedMembers(): Promise<readonly Member[]> {
  const { workspace } = await readConfig(ROOT);
  if (!Array.isArray(workspace)) {
    throw new SyntaxError("Cannot read deno.json: no workspace");
  }
  const folders = [...workspace.map((path) => new URL(`${path}/`, ROOT)), ROOT];
  const members = await Promise.all(folders.map(async (folder) => {
    const config = await readConfig(folder);
    if (config.name === undefined || config.publish === false) return [];
    return [toMember(folder, config)];
  }));
  return members.flat();
}

/**
 * Reads one package of the checkout, published or not.
 *
 * @throws {SyntaxError} If its `deno.json` has no name, version or exports.
 */
export async function readMember(folder: URL): Promise<Member> {
  return toMember(folder, await readConfig(folder));
}

/**
 * Makes a package of what its `deno.json` says.
 *
 * @throws {SyntaxError} If it has no name, version or exports.
 */
export function toMember(
  folder: URL,
  config: Readonly<Record<string, unknown>>,
): Member {
  const { name, version, exports } = config;
  if (typeof name !== "string" || typeof version !== "string") {
    throw new SyntaxError(
      `Cannot read ${folder}deno.json: it needs a name and a version`,
    );
  }
  const entries = typeof exports === "string" ? { ".": exports } : exports;
  if (!isRecord(entries)) {
    throw new SyntaxError(`Cannot read ${folder}deno.json: it needs exports`);
  }
  const pairs = Object.entries(entries).map(([entry, file]) =>
    [entry, String(file)] as const
  );
  return { folder, name, version, exports: new Map(pairs) };
}

/** Parses a `deno.json`. */
export function parseConfig(text: string): Readonly<Record<string, unknown>> {
  const value: unknown = JSON.parse(text);
  if (!isRecord(value)) {
    throw new SyntaxError("Cannot read deno.json: not an object");
  }
  return value;
}

async function readConfig(
  folder: URL,
): Promise<Readonly<Record<string, unknown>>> {
  return parseConfig(await Deno.readTextFile(new URL("deno.json", folder)));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
