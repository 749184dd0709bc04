import type { StateOptions } from "@devts/node/state";
import type { Storage } from "@devts/node/storage";
import { sqlite } from "@devts/node/storage/sqlite";
import type { Arguments, Usage } from "./_arguments.ts";

/** The option of programs that keep their state. */
export const dataOption: Usage["options"] = {
  data: {
    value: "DIR",
    help:
      "where to keep the state for the next start (--allow-read=. --allow-write=DIR)",
  },
};

/** The storage in the folder that the user has named; null: none. */
export async function storageIn(
  { values }: Arguments,
  file: string,
): Promise<Storage | null> {
  const folder = values.get("data");
  if (folder === undefined) return null;
  await Deno.mkdir(folder, { recursive: true });
  return sqlite(`${folder}/${file}`);
}

/** The options of state that is kept there, each write as soon as it is made. */
export function keptIn(storage: Storage | null): StateOptions {
  return storage === null ? {} : { storage, level: "fsync" };
}
