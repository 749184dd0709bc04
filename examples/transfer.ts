/**
 * Sends a file to another node, over a conversation: in bounded memory, as fast as the
 * other end writes it. Broken off, it goes on where it was.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 --allow-read=downloads --allow-write=downloads examples/transfer.ts --to downloads         # prints its cluster port
 * deno run --allow-net=127.0.0.1 --allow-read=movie.mkv examples/transfer.ts 7946 --file movie.mkv  # joins there, and sends
 * ```
 *
 * @module
 */
import { type Conversation, createNode, type Node } from "@devts/devts";
import {
  NODE_OPTIONS,
  nodeArguments,
  type Usage,
  UsageError,
} from "./_arguments.ts";
import { interrupted, run } from "./_program.ts";

/** What the sender says before the bytes. */
export interface Offer {
  /** The name of the file, without a path. */
  readonly name: string;
  /** Its length, in bytes. */
  readonly size: number;
}

/** What the other end says: at once, and again when the bytes have ended. */
export interface Progress {
  /** How many bytes of the file it has. */
  readonly have: number;
}

/** The conversations of these nodes. */
export interface TransferEvents {
  /** An offer, then the bytes that the other end does not have. */
  upload: Conversation<Offer | Uint8Array, Progress>;
}

/** What a node that takes files tells of itself. */
const TAKES_FILES = "takes files";
const CHUNK = 262_144;

/**
 * Takes files into a directory. What has come of one is kept under another name until
 * all of it has, so that the next attempt goes on from there.
 */
export function takeFiles(
  node: Node<TransferEvents>,
  directory: string,
  print: (line: string) => void,
): void {
  const busy = new Set<string>();
  node.onOpen("upload", async (stream, { from }) => {
    const offer = await stream.receive();
    // Types describe what well-meaning peers send: check what must hold.
    if (!isOffer(offer)) throw new TypeError("Cannot take a file: no offer");
    const { name, size } = offer;
    const part = `${directory}/.${name}.${size}.part`;
    if (busy.has(part)) {
      throw new Error(`Cannot take "${name}": somebody else sends it`);
    }
    busy.add(part);
    try {
      // Appends: whatever the file was before, what comes goes behind it.
      using file = await Deno.open(part, { append: true, create: true });
      let have = (await file.stat()).size;
      await stream.send({ have });
      for await (const bytes of stream) {
        if (!(bytes instanceof Uint8Array) || have + bytes.length > size) {
          throw new TypeError(
            `Cannot take "${name}": it is not what was offered`,
          );
        }
        await writeAll(file, bytes);
        have += bytes.length;
        stream.release(bytes); // later bytes may come in the same memory
      }
      if (have < size) {
        throw new Error(`Cannot take "${name}": it is cut short`);
      }
      await Deno.rename(part, `${directory}/${name}`);
      await stream.send({ have });
      print(`took ${name} from ${from}: ${size} bytes`);
    } finally {
      busy.delete(part);
    }
    await stream.close();
  });
}

/** Sends a file to a node; resolves once that has all of it, to how many bytes it lacked. */
export async function sendFile(
  node: Node<TransferEvents>,
  to: string,
  path: string,
  print: (line: string) => void,
): Promise<number> {
  using file = await Deno.open(path);
  const { size } = await file.stat();
  const name = path.replace(/^.*[\\/]/, "");
  await using stream = await node.open(to, "upload");
  await stream.send({ name, size });
  const begin = (await stream.receive())?.have ?? 0;
  if (!(Number.isInteger(begin) && begin >= 0 && begin <= size)) {
    throw new RangeError(`"${to}" has ${begin} of ${size} bytes of ${name}`);
  }
  if (begin > 0) print(`goes on at ${percent(begin, size)}`);
  await file.seek(begin, Deno.SeekMode.Start);
  let told = performance.now();
  let sent = begin;
  const buffer = new Uint8Array(CHUNK);
  for (;;) {
    const read = await file.read(buffer);
    if (read === null) break;
    // Once this has resolved, the buffer may be used again.
    await stream.send(buffer.subarray(0, read));
    sent += read;
    if (performance.now() - told < 1_000) continue;
    told = performance.now();
    print(percent(sent, size));
  }
  await stream.close();
  const end = await stream.receive();
  if (end?.have !== size) {
    throw new Error(`"${to}" does not have all of ${name}`);
  }
  await stream.closed;
  return sent - begin;
}

function isOffer(message: unknown): message is Offer {
  return typeof message === "object" && message !== null &&
    "name" in message && typeof message.name === "string" &&
    /^[^\\/\p{Cc}]{1,100}$/u.test(message.name) &&
    !message.name.startsWith(".") &&
    "size" in message && Number.isSafeInteger(message.size);
}

async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    at += await file.write(bytes.subarray(at));
  }
}

function percent(part: number, whole: number): string {
  return `${Math.floor(100 * part / Math.max(1, whole))} %`;
}

/** Resolves to a node that takes files, once there is one. */
async function whoTakesFiles(node: Node<TransferEvents>): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  using _ = node.onSystem("join", ({ id, meta }) => {
    if (meta === TAKES_FILES) resolve(id);
  });
  for (const { id, meta } of node.members.values()) {
    if (meta === TAKES_FILES) return id;
  }
  return await promise;
}

const USAGE: Usage = {
  synopsis: "transfer.ts [cluster port]",
  permissions: "--allow-net=127.0.0.1 --allow-read --allow-write",
  about:
    "Takes files from other nodes, with --to; or sends one to a node that does, with --file.\n" +
    "Broken off, a transfer goes on where it was.",
  positional: 1,
  options: {
    ...NODE_OPTIONS,
    to: { value: "DIRECTORY", help: "takes files into this directory" },
    file: { value: "FILE", help: "sends this file" },
  },
};

if (import.meta.main) {
  await run(USAGE, async (args) => {
    const { options, listen, entries } = await nodeArguments(args);
    const [directory, path] = [args.values.get("to"), args.values.get("file")];
    if ((directory === undefined) === (path === undefined)) {
      throw new UsageError("either --to or --file is needed");
    }
    const stop = interrupted();
    await using node = createNode<TransferEvents>({
      ...options,
      meta: directory === undefined ? undefined : TAKES_FILES,
    });
    if (directory !== undefined) takeFiles(node, directory, console.log);
    await node.listen(listen);
    await node.join(...entries);
    if (path === undefined) return await stop;
    const to = await whoTakesFiles(node);
    const bytes = await sendFile(node, to, path, console.log);
    console.log(`sent ${path} to ${to}: ${bytes} bytes`);
  });
}
