/**
 * Keys of nodes, in files: made, read, and signed by an authority.
 *
 * ```ts
 * import { createNode } from "@devts/devts";
 * import {
 *   createIdentityFile,
 *   readIdentityFile,
 *   signIdentity,
 * } from "@devts/devts/identity";
 * import { keyText, parseKey } from "@devts/protocol/identity";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 *
 * // The operator, on a machine that is kept off the network.
 * const authority = await createIdentityFile(`${folder}/authority.json`);
 *
 * // Each node; what it shows the operator is its public key.
 * const { key } = await createIdentityFile(`${folder}/node.json`);
 *
 * // The operator again; the node keeps what comes of it.
 * const granted = await signIdentity(authority, {
 *   cluster: "demo",
 *   key: parseKey(keyText(key)),
 *   from: Date.now(),
 *   until: Date.now() + 365 * 86_400_000,
 * });
 * await Deno.writeTextFile(`${folder}/node.grant.json`, granted);
 *
 * const identity = await readIdentityFile(
 *   `${folder}/node.json`,
 *   `${folder}/node.grant.json`,
 * );
 * const trust = { authorities: [keyText(authority.key)] };
 * await using node = createNode({ cluster: "demo", identity, trust });
 * assertEquals(node.id, identity.id);
 * await Deno.remove(folder, { recursive: true });
 * ```
 *
 * @module
 */
import {
  createIdentity,
  type Grant,
  grant,
  nodeIdOf,
  parseIdentity,
} from "@devts/protocol/identity";
import { parseSecret, secretText } from "@devts/protocol/secret";
import type { NodeIdentity } from "./secure.ts";

export type { NodeIdentity } from "./secure.ts";

/** Readable by nobody but its owner. */
const PRIVATE = 0o600;
const OTHERS = 0o077;

/**
 * Makes a key and keeps it in a new file that only its owner can read.
 *
 * @throws {Deno.errors.AlreadyExists} If there is such a file.
 */
export async function createIdentityFile(
  path: string | URL,
): Promise<NodeIdentity> {
  const { identity, text } = await createIdentity();
  await Deno.writeTextFile(path, `${JSON.stringify({ key: text })}\n`, {
    createNew: true,
    mode: PRIVATE,
  });
  return identity;
}

/**
 * Reads a key, and what an authority granted to it.
 *
 * @param path A file of {@linkcode createIdentityFile}.
 * @param granted A file with what {@linkcode signIdentity} gave.
 * @throws {TypeError} If a file is malformed, or others can read the key.
 */
export async function readIdentityFile(
  path: string | URL,
  granted?: string | URL,
): Promise<NodeIdentity> {
  const { mode } = await Deno.stat(path);
  if (mode !== null && (mode & OTHERS) !== 0) {
    throw new TypeError(
      `Cannot use the key in "${path}": others can read it; run "chmod 600" on it`,
    );
  }
  const { key } = await textsIn(path, "key");
  if (granted === undefined) return await parseIdentity(key);
  const { grant, certificate } = await textsIn(granted, "grant", "certificate");
  const bytes = Uint8Array.from(atob(grant), (char) => char.charCodeAt(0));
  const identity = await parseIdentity(key, bytes);
  return certificate === "" ? identity : { ...identity, certificate };
}

/**
 * Signs the key of a node: its place in a cluster, and a certificate by which it can
 * make others for its own name.
 *
 * @param authority Who signs. Others believe it by its public key.
 * @param of What is granted to whom; with rights: to a guest.
 * @returns Text for a file. It is no secret.
 * @throws {RangeError} If what is granted is out of range.
 */
export async function signIdentity(
  authority: NodeIdentity,
  of: Grant,
): Promise<string> {
  const granted = await grant(authority, of);
  const text = btoa(String.fromCharCode(...granted));
  // Nobody dials a guest, so it has nothing to show.
  const certificate = of.rights ? "" : await certificateOf(authority, of);
  return `${JSON.stringify({ grant: text, certificate }, null, 2)}\n`;
}

async function certificateOf(
  authority: NodeIdentity,
  { key, from, until }: Grant,
): Promise<string> {
  const { nodeCertificate } = await import("@devts/transport/certificates");
  return await nodeCertificate({
    ...{ id: await nodeIdOf(key), key, from, until },
    authority: authority.keys,
    authorityKey: authority.key,
  });
}

/**
 * Reads a secret from a file, as `deno task secret` prints it.
 *
 * @throws {TypeError} If it is malformed, or others can read the file.
 */
export async function readSecretFile(path: string | URL): Promise<string> {
  const { mode } = await Deno.stat(path);
  if (mode !== null && (mode & OTHERS) !== 0) {
    throw new TypeError(
      `Cannot use the secret in "${path}": others can read it; run "chmod 600" on it`,
    );
  }
  return secretText(parseSecret(await Deno.readTextFile(path)));
}

/** The texts of these names in a file of JSON. */
async function textsIn<Name extends string>(
  path: string | URL,
  ...names: readonly Name[]
): Promise<Record<Name, string>> {
  const value: unknown = JSON.parse(await Deno.readTextFile(path));
  const entries = names.map((name) => {
    const text = typeof value === "object" && value !== null
      ? Object.entries(value).find(([key]) => key === name)?.[1]
      : undefined;
    if (typeof text === "string") return [name, text];
    throw new TypeError(`Cannot use "${path}": it has no "${name}"`);
  });
  return Object.fromEntries(entries);
}
