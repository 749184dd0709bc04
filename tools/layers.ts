import { lineAt, type Scan, scan } from "./scan.ts";

/** A place where a file breaks a rule of the layering. */
export interface Violation {
  /** The file, from the root of the checkout. */
  readonly file: string;
  /** Counted from 1. */
  readonly line: number;
  /** The rule, and what breaks it. */
  readonly rule: string;
}

/** The folders of the library, and the packages of ours that each may import. */
const LAYERS: ReadonlyMap<string, readonly string[]> = new Map([
  ["transport", []],
  ["routing", []],
  ["protocol", []],
  ["plugins", ["transport"]],
  ["node", ["transport", "routing", "protocol"]],
]);

/** Folders whose code runs anywhere: no runtime, and time and chance are injected. */
const NEUTRAL = new Set(["routing", "protocol", "node"]);

/** Folders of the checkout that measure and build it; they import one another by path. */
const TOOLING = new Set(["tools", "bench"]);

/** Where TLS goes over the sockets of Node: those of Deno are not closed in a handshake. */
const CLOSABLE_TLS = "transport/_closable_tls.ts";
const NODE_TLS: ReadonlySet<string> = new Set([
  "node:stream",
  "node:timers",
  "node:tls",
]);

/** The one file of a neutral folder that needs what a runtime brings. */
const SQLITE = "node/storage/_sqlite_worker.ts";

/** Where time comes from. */
const CLOCK = "routing/clock.ts";

const AMBIENT =
  /(?<![\w$.])(?:globalThis\.)?(?:Date\.now|new\s+Date(?=\s*\(\s*\))|Math\.random|performance\.now|setTimeout|setInterval)\b/g;

/** A file under examination. */
interface Source {
  readonly path: string;
  /** The top-level folder, or an empty string. */
  readonly folder: string;
  readonly isTest: boolean;
  readonly isBench: boolean;
  /** `testing.ts`, which registers tests for others to call, or a part of it. */
  readonly isTesting: boolean;
}

/**
 * Reads every module under a folder and holds it against the rules. Looks into no
 * folder whose name starts with a dot.
 *
 * @returns The files it has read, and what breaks a rule.
 */
export async function checkTree(
  root: URL,
): Promise<{ files: readonly string[]; violations: readonly Violation[] }> {
  const files: string[] = [];
  await list(root, "", files);
  const modules = new Map<string, Scan>();
  for (const file of files.sort()) {
    modules.set(file, scan(await Deno.readTextFile(new URL(file, root))));
  }
  return { files, violations: checkModules(modules) };
}

/**
 * Holds modules against the rules.
 *
 * @param modules By file, from the root of the checkout, with forward slashes. A
 * private file that only tests and `testing.ts` import counts as a part of those.
 */
export function checkModules(
  modules: ReadonlyMap<string, Scan>,
): readonly Violation[] {
  const parts = partsOfTesting(modules);
  return [...modules].flatMap(([path, { code, imports }]) => {
    const source: Source = {
      path,
      folder: folderOf(path),
      isTest: path.endsWith("_test.ts"),
      isBench: path.endsWith("_bench.ts"),
      isTesting: isTesting(path) || parts.has(path),
    };
    const broken = imports.flatMap(({ specifier, line, typeOnly }) =>
      brokenByImport(source, specifier, typeOnly).map((rule) => ({
        file: path,
        line,
        rule,
      }))
    );
    return [...broken, ...brokenByCode(source, code)];
  });
}

/** One line for a person: `file:line: rule`. */
export function format({ file, line, rule }: Violation): string {
  return `${file}:${line}: ${rule}`;
}

async function list(root: URL, folder: string, files: string[]): Promise<void> {
  for await (
    const { name, isDirectory } of Deno.readDir(new URL(folder, root))
  ) {
    if (name.startsWith(".") || name === "node_modules") continue;
    if (isDirectory) await list(root, `${folder}${name}/`, files);
    else if (name.endsWith(".ts")) files.push(folder + name);
  }
}

function brokenByImport(
  source: Source,
  specifier: string,
  typeOnly: boolean,
): string[] {
  if (/^\.{0,2}\//.test(specifier)) return brokenByPath(source, specifier);
  const ours = /^@devts\/([^/]+)/.exec(specifier)?.[1];
  if (ours !== undefined) return brokenByOurs(source, ours, typeOnly);
  return brokenByOthers(source, specifier);
}

function brokenByPath(
  { path, folder, isTest }: Source,
  specifier: string,
): string[] {
  const target = resolve(path, specifier);
  const targetFolder = folderOf(target);
  if (targetFolder === folder) return [];
  // What tries everything together has the support of each part's tests.
  if (folder === "" && isTest && /\/_[^/]+_test\.ts$/.test(target)) return [];
  if (TOOLING.has(targetFolder) && (folder === "" || TOOLING.has(folder))) {
    return [];
  }
  return [`across folders the package name, never a path: "${specifier}"`];
}

function folderOf(path: string): string {
  return path.includes("/") ? path.slice(0, path.indexOf("/")) : "";
}

function resolve(path: string, specifier: string): string {
  return new URL(specifier, `file:///${path}`).pathname.slice(1);
}

function isTesting(path: string): boolean {
  return /(?:^|\/)testing\.ts$/.test(path);
}

/** The private files that nothing but tests, `testing.ts` and each other imports. */
function partsOfTesting(
  modules: ReadonlyMap<string, Scan>,
): ReadonlySet<string> {
  const importers = new Map<string, string[]>();
  for (const [path, { imports }] of modules) {
    for (const { specifier } of imports) {
      if (!specifier.startsWith(".")) continue;
      const target = resolve(path, specifier);
      importers.set(target, [...importers.get(target) ?? [], path]);
    }
  }
  const parts = new Set(
    [...importers.keys()].filter((path) => /(?:^|\/)_[^/]+$/.test(path)),
  );
  // Taking one out may take out others that it imports, so until nothing changes.
  for (let size = -1; size !== parts.size;) {
    size = parts.size;
    for (const part of parts) {
      const isPart = (importers.get(part) ?? []).every((path) =>
        path.endsWith("_test.ts") || isTesting(path) || parts.has(path)
      );
      if (!isPart) parts.delete(part);
    }
  }
  return parts;
}

function brokenByOurs(
  { folder, isTest, isBench, isTesting }: Source,
  ours: string,
  typeOnly: boolean,
): string[] {
  const allowed = LAYERS.get(folder);
  if (allowed === undefined) return [];
  if (ours === folder) {
    return [`inside a folder "./x.ts", not "@devts/${ours}"`];
  }
  const isTrial = isTest || isBench || isTesting;
  // A node is tried out with real parts, and by its public face.
  if (folder === "node" && isTrial) return [];
  if (!allowed.includes(ours)) {
    return [`${folder}/ does not import "@devts/${ours}"`];
  }
  if (folder === "node" && !typeOnly) {
    return [
      `node/ imports types only (\`import type\`), also from "@devts/${ours}"`,
    ];
  }
  return [];
}

function brokenByOthers(
  { path, folder, isTest, isTesting }: Source,
  specifier: string,
): string[] {
  const name = packageName(specifier);
  if (name === "@std/assert" || name === "fast-check") {
    if (isTest || isTesting) return [];
    return [`"${name}" only in *_test.ts, testing.ts and their private parts`];
  }
  if (name === "@std/log") {
    if (path === "mod.ts" || ["cli", "examples", "tools"].includes(folder)) {
      return [];
    }
    if (folder === "" && isTest) return [];
    return [`"@std/log" only in mod.ts, cli/, examples/ and tools/`];
  }
  if (name === "msgpackr") {
    // The rest measures against it.
    if (path === "protocol/msgpackr.ts" || TOOLING.has(folder)) return [];
    return [`"msgpackr" only in protocol/msgpackr.ts, tools/ and bench/`];
  }
  if (name === "@peculiar/x509") {
    const isFree = isTest || TOOLING.has(folder) || folder === "examples";
    if (path === "transport/certificates.ts" || isFree) return [];
    return [
      `"${name}" only in transport/certificates.ts, examples/, tests, tools/ and bench/`,
    ];
  }
  if (name === "node:sqlite") {
    // It works in a thread of its own, which only Deno, Node and Bun have.
    if (path === SQLITE || isTest || TOOLING.has(folder)) return [];
    return [`"${name}" only in ${SQLITE}, tests, tools/ and bench/`];
  }
  // What it copies has its name once it is whole.
  if (path === SQLITE && specifier === "node:fs/promises") return [];
  if (path === CLOSABLE_TLS && NODE_TLS.has(name)) return [];
  if (name === "d3-force") {
    if (path === "routing/_picture_layout.ts" || isTest) return [];
    return [`"${name}" only in routing/_picture_layout.ts and tests`];
  }
  if (name.startsWith("@nats-io/")) {
    if (path === "routing/nats.ts" || isTest || TOOLING.has(folder)) {
      return [];
    }
    return [`"${name}" only in routing/nats.ts, tests, tools/ and bench/`];
  }
  if (LAYERS.has(folder) && !isTest && !/^@std\/[^/]+$/.test(name)) {
    return [`${folder}/ imports "@std/*" only, not "${specifier}"`];
  }
  return [];
}

/** The package of a specifier, without registry, version and path: `@std/log`. */
function packageName(specifier: string): string {
  const match = /^(?:npm:|jsr:)?\/?((?:@[^/]+\/)?[^/@]+)/.exec(specifier);
  return match?.[1] ?? specifier;
}

function brokenByCode(source: Source, code: string): Violation[] {
  const { path, folder, isTest, isBench, isTesting } = source;
  if (!NEUTRAL.has(folder) || isTest || isBench) return [];
  const broken: Violation[] = [];
  if (!isTesting) {
    for (
      const { index } of code.matchAll(/(?<![\w$.])(?:globalThis\.)?Deno\b/g)
    ) {
      broken.push({
        file: path,
        line: lineAt(code, index),
        rule: `${folder}/ names no runtime: Deno`,
      });
    }
  }
  if (path === CLOCK) return broken;
  for (const { 0: what, index } of code.matchAll(AMBIENT)) {
    const rule =
      `${folder}/ takes time and chance from its context, not from ${what}`;
    broken.push({ file: path, line: lineAt(code, index), rule });
  }
  return broken;
}
