import { createNode } from "@devts/devts";
import { map, WriteError } from "@devts/node/state";
import { sqlite } from "@devts/node/storage/sqlite";
import { silent } from "../../../bench/serve.ts";
import type { Measurement, MeasureOptions, Row } from "../runner.ts";
import { inFolder } from "./shared.ts";

/** What was told to be kept. */
type Kept = ReadonlyMap<string, string>;

/** A storage that ends in the middle of its last transaction, at every byte. */
const cut: Row = {
  what: "storage cut at every byte of its last transaction",
  target: "opens, and holds every acknowledged write",
  measure: (options) =>
    inFolder(async (folder) => {
      const path = `${folder}/state.db`;
      const log = `${path}-wal`;
      const kept = new Map<string, string>();
      let before = 0;
      let bytes = new Uint8Array(0);
      let file = new Uint8Array(0);
      await withCart(path, async (cart) => {
        for (let i = 0; i < 20; i++) {
          await cart.set(`key ${i}`, `value ${i}`, { level: "fsync" });
          kept.set(`key ${i}`, `value ${i}`);
        }
        before = (await Deno.stat(log)).size;
        await cart.set("last", "value", { level: "fsync" });
        bytes = await Deno.readFile(log);
        file = await Deno.readFile(path);
      });
      return await cutAtEach(folder, file, bytes, before, kept, options);
    }),
};

async function cutAtEach(
  folder: string,
  file: Uint8Array,
  log: Uint8Array,
  before: number,
  kept: Kept,
  { short, progress }: MeasureOptions,
): Promise<Measurement> {
  const path = `${folder}/copy.db`;
  let cuts = 0;
  let wrong = "";
  const step = short ? 211 : 1;
  for (let end = before; end <= log.length && wrong === ""; end += step) {
    await Deno.writeFile(path, file);
    await Deno.writeFile(`${path}-wal`, log.subarray(0, end));
    wrong = await missing(path, kept);
    if (wrong !== "") wrong = `cut at ${end}: ${wrong}`;
    if (++cuts % 1_000 === 0) progress(`${cuts} of ${log.length - before}`);
  }
  return {
    figure: `${cuts} cuts of ${log.length - before} bytes${
      wrong === "" ? ", all opened and whole" : `; ${wrong}`
    }`,
    held: wrong === "" && cuts > 0,
  };
}

/** A disk of 1 MiB that fills up. */
const full: Row = {
  what: "a disk of 1 MiB that fills up",
  target:
    "reads go on, no false acknowledgement, opens with every acknowledged write and nothing that was refused",
  async measure() {
    if (Deno.uid() !== 0) {
      return {
        figure: "to mount a disk of 1 MiB needs root",
        held: false,
        skipped: true,
      };
    }
    return await inFolder(async (folder) => {
      const disk = ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder];
      const why = await command("mount", disk);
      if (why !== null) return { figure: why, held: false, skipped: true };
      try {
        return await fill(`${folder}/state.db`);
      } finally {
        await command("umount", [folder]);
      }
    });
  },
};

async function fill(path: string): Promise<Measurement> {
  const kept = new Map<string, string>();
  let refused: unknown = null;
  let canRead = false;
  let isTraced = false;
  await withCart(path, async (cart) => {
    for (let i = 0; i < 4_000 && refused === null; i++) {
      const value = `${i} ${"x".repeat(1_000)}`;
      try {
        await cart.set(`key ${i}`, value, { level: "fsync" });
        kept.set(`key ${i}`, value);
      } catch (error) {
        refused = error;
      }
    }
    canRead = [...kept].every(([key, value]) => cart.get(key) === value);
    isTraced = cart.get(`key ${kept.size}`) !== undefined;
  });
  let wrong = await missing(path, kept);
  await withCart(path, (cart) => {
    isTraced ||= cart.get(`key ${kept.size}`) !== undefined;
    return Promise.resolve();
  });
  if (isTraced) wrong ||= "the refused write is there";
  const isRefused = refused instanceof WriteError &&
    refused.reason === "storage";
  return {
    figure: `${kept.size} writes acknowledged, then "${refused}"; afterwards ${
      wrong === "" ? "all of them are there, and nothing else" : wrong
    }`,
    held: isRefused && canRead && kept.size > 20 && wrong === "",
  };
}

/** What a storage does to state that it is cut off, or fills up. */
export const storage: readonly Row[] = [cut, full];

/** Runs a command; says why that failed, or null. */
async function command(
  name: string,
  args: readonly string[],
): Promise<string | null> {
  const { success, stderr } = await new Deno.Command(name, {
    args: [...args],
  }).output();
  return success ? null : new TextDecoder().decode(stderr).trim();
}

interface Cart {
  get(key: string): string | undefined;
  set(key: string, value: string, options: { level: "fsync" }): Promise<void>;
}

async function withCart(
  path: string,
  work: (cart: Cart) => Promise<void>,
): Promise<void> {
  await using node = createNode({ cluster: "verify", logger: silent });
  const cart = node.use("cart", map<string>({ storage: sqlite(path) }));
  await cart.ready;
  await work(cart);
}

/** What is not as it was told to be kept; an empty text: nothing. */
async function missing(path: string, kept: Kept): Promise<string> {
  let wrong = "";
  try {
    await withCart(path, (cart) => {
      for (const [key, value] of kept) {
        if (cart.get(key) !== value) wrong = `"${key}" is not as it was`;
      }
      return Promise.resolve();
    });
  } catch (error) {
    wrong = String(error);
  }
  return wrong;
}
