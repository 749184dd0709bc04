import { assert, assertEquals, assertRejects } from "@std/assert";
import { sqlite } from "./sqlite.ts";
import { testStorage } from "./testing.ts";
import { StorageError, type StoredRow, type StoredTable } from "./types.ts";

const IDENTITY = { cluster: "test", name: "cart" };

testStorage("sqlite()", async () => {
  const folder = await Deno.makeTempDir();
  return {
    reopen: () => sqlite(`${folder}/state.db`),
    remove: () => Deno.remove(folder, { recursive: true }),
  };
});

/** A folder for one test. */
async function folder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await Deno.makeTempDir();
  return {
    path,
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
}

async function read(table: StoredTable): Promise<StoredRow[]> {
  return (await Array.fromAsync(table.read())).flat();
}

async function contents(path: string): Promise<StoredRow[]> {
  const table = await sqlite(path).open(IDENTITY);
  try {
    return await read(table);
  } finally {
    await table.close();
  }
}

function row(key: string, ...bytes: number[]): StoredRow {
  return { key, value: new Uint8Array(bytes) };
}

async function execute(path: string, statement: string): Promise<void> {
  const { DatabaseSync } = await import("node:sqlite");
  const database = new DatabaseSync(path);
  database.exec(statement);
  database.close();
}

async function refusal(path: string): Promise<StorageError> {
  return await assertRejects(() => sqlite(path).open(IDENTITY), StorageError);
}

Deno.test("sqlite() refuses a file of a newer version, and leaves it alone", async () => {
  await using dir = await folder();
  const path = `${dir.path}/state.db`;
  const table = await sqlite(path).open(IDENTITY);
  await table.commit([row("a", 1)]);
  await table.close();
  await execute(path, "PRAGMA user_version = 7");
  const before = await Deno.readFile(path);
  const error = await refusal(path);
  assertEquals(error.reason, "version");
  assertEquals(
    error.message,
    `Cannot open ${path}: it has version 7, and this program reads up to 1`,
  );
  assertEquals(await Deno.readFile(path), before);
});

Deno.test("sqlite() refuses a file of something else, and leaves it alone", async () => {
  await using dir = await folder();
  const foreign = `${dir.path}/foreign.db`;
  await execute(foreign, "CREATE TABLE t (a)");
  assertEquals((await refusal(foreign)).reason, "malformed");
  const text = `${dir.path}/text.db`;
  await Deno.writeTextFile(text, "no database\n".repeat(1_000));
  assertEquals((await refusal(text)).reason, "malformed");
  assertEquals(
    await Deno.readTextFile(text),
    "no database\n".repeat(1_000),
  );
});

Deno.test("sqlite() says what it cannot open", async () => {
  await using dir = await folder();
  const error = await refusal(`${dir.path}/none/state.db`);
  assertEquals(error.reason, "io");
});

Deno.test("sqlite() is locked while it is open", async () => {
  await using dir = await folder();
  const path = `${dir.path}/state.db`;
  const table = await sqlite(path).open(IDENTITY);
  await table.commit([row("a", 1)]);
  const error = await refusal(path);
  assertEquals(error.reason, "busy");
  await table.close();
  assertEquals(await contents(path), [row("a", 1)]);
});

Deno.test("sqlite() is one file once it is closed", async () => {
  await using dir = await folder();
  const table = await sqlite(`${dir.path}/state.db`).open(IDENTITY);
  await table.commit([row("a", 1)]);
  await table.close();
  const files = await Array.fromAsync(Deno.readDir(dir.path));
  assertEquals(files.map(({ name }) => name), ["state.db"]);
});

Deno.test("sqlite() copies what is committed while writes go on", async () => {
  await using dir = await folder();
  const storage = sqlite(`${dir.path}/state.db`);
  const table = await storage.open(IDENTITY);
  for (let i = 0; i < 200; i++) {
    table.commit([{ key: `key ${i}`, value: new Uint8Array(5_000) }]);
  }
  await table.commit([row("last", 1)]);
  const copying = storage.backup(`${dir.path}/copy.db`);
  const later = Array.from(
    { length: 20 },
    (_, i) => table.commit([row(`later ${i}`, i)]),
  );
  await Promise.all([copying, ...later]);
  await table.close();
  const copied = await contents(`${dir.path}/copy.db`);
  assert(copied.length >= 201);
  assert(copied.some(({ key }) => key === "last"));
  await assertRejects(
    () => storage.backup(`${dir.path}/b.db`),
    StorageError,
    "no state uses it",
  );
});

Deno.test("sqlite() cut at every byte of its last transaction opens, and holds what was before", async () => {
  await using dir = await folder();
  const path = `${dir.path}/state.db`;
  const table = await sqlite(path).open(IDENTITY);
  await table.commit([row("a", 1), row("b", 2)]);
  const wal = `${path}-wal`;
  const before = (await Deno.stat(wal)).size;
  await table.commit([row("b", 3), row("c", 4)]);
  const file = await Deno.readFile(path);
  const log = await Deno.readFile(wal);
  await table.close();
  const old = [row("a", 1), row("b", 2)];
  const whole = [row("a", 1), row("b", 3), row("c", 4)];
  const copy = `${dir.path}/copy.db`;
  // Every byte is a row of `verify state`; here are the ends of frames, and others.
  const step = 97;
  for (let cut = before; cut <= log.length; cut += step) {
    await Deno.writeFile(copy, file);
    await Deno.writeFile(`${copy}-wal`, log.subarray(0, cut));
    assertEquals(await contents(copy), cut === log.length ? whole : old);
  }
  await Deno.writeFile(copy, file);
  await Deno.writeFile(`${copy}-wal`, log);
  assertEquals(await contents(copy), whole);
});

Deno.test("sqlite() that is closed ends the copies that are being made", async () => {
  await using dir = await folder();
  const storage = sqlite(`${dir.path}/state.db`);
  const table = await storage.open(IDENTITY);
  for (let i = 0; i < 100; i++) {
    table.commit([{ key: `key ${i}`, value: new Uint8Array(50_000) }]);
  }
  await table.commit([row("last", 1)]);
  // Two at once go to the same place one after the other.
  const copying = [1, 2].map(() => storage.backup(`${dir.path}/copy.db`));
  await table.close();
  await Promise.all(copying);
  assertEquals((await contents(`${dir.path}/copy.db`)).length, 101);
  const files = await Array.fromAsync(Deno.readDir(dir.path));
  assertEquals(
    files.map(({ name }) => name).sort(),
    ["copy.db", "state.db"],
  );
});

Deno.test("sqlite() copies over what an earlier copy left behind, and leaves nothing of one that fails", async () => {
  await using dir = await folder();
  const storage = sqlite(`${dir.path}/state.db`);
  const table = await storage.open(IDENTITY);
  await table.commit([row("a", 1)]);
  const copy = `${dir.path}/copy.db`;
  for (const file of [`${copy}.part`, `${copy}.part-journal`]) {
    await Deno.writeTextFile(file, "half of a copy".repeat(500));
  }
  await storage.backup(copy);
  await table.commit([row("b", 2)]);
  await storage.backup(copy);
  await Deno.mkdir(`${dir.path}/taken`);
  const error = await assertRejects(
    () => storage.backup(`${dir.path}/taken`),
    StorageError,
    `Cannot back up ${dir.path}/state.db`,
  );
  assertEquals(error.reason, "io");
  await table.close();
  assertEquals(await contents(copy), [row("a", 1), row("b", 2)]);
  const files = await Array.fromAsync(Deno.readDir(dir.path));
  assertEquals(
    files.map(({ name }) => name).sort(),
    ["copy.db", "state.db", "taken"],
  );
});

Deno.test("sqlite() with a page that is damaged gives all rows or says so, whichever page it is", async () => {
  await using dir = await folder();
  const path = `${dir.path}/state.db`;
  const table = await sqlite(path).open(IDENTITY);
  const count = 1_000;
  await table.commit(
    Array.from({ length: count }, (_, i) => ({
      key: `key ${10_000 + i}`,
      value: new Uint8Array(200).fill(i),
    })),
  );
  await table.close();
  const file = await Deno.readFile(path);
  const PAGE = 4_096;
  const pages = file.length / PAGE;
  const wrongs: Record<string, (page: number) => Uint8Array> = {
    zeroed: (page) => file.slice().fill(0, page * PAGE, (page + 1) * PAGE),
    written: (page) => file.slice().fill(0xa5, page * PAGE, (page + 1) * PAGE),
    // Of another one: it went to the wrong place.
    misplaced: (page) => {
      const other = 1 + page * 7 % (pages - 1);
      return file.slice().copyWithin(
        page * PAGE,
        other * PAGE,
        (other + 1) * PAGE,
      );
    },
  };
  let refused = 0;
  for (const [name, damage] of Object.entries(wrongs)) {
    for (let page = 1; page < pages; page += 5) {
      const copy = `${dir.path}/${name} ${page}.db`;
      await Deno.writeFile(copy, damage(page));
      try {
        assertEquals((await contents(copy)).length, count, `${name} ${page}`);
      } catch (error) {
        assert(error instanceof StorageError, `${name} ${page}: ${error}`);
        assertEquals(error.reason, "malformed");
        refused++;
      }
      await Deno.remove(copy);
    }
  }
  assert(pages > 50 && refused > pages / 2, `${refused} of ${pages}`);
});

/** A program that fills a file, and copies it. */
const COPIES = `
import { sqlite } from ${JSON.stringify(import.meta.resolve("./sqlite.ts"))};
const [path, copy] = Deno.args;
const storage = sqlite(path);
const table = await storage.open(${JSON.stringify(IDENTITY)});
for (let i = 0; i < 100; i++) {
  table.commit([{ key: \`key \${i}\`, value: new Uint8Array(300_000) }]);
}
await table.commit([]);
setInterval(() => {}, 60_000); // it is there until it is killed
await storage.backup(copy);
`;

Deno.test("sqlite() that is killed while it copies leaves a whole copy or none, and is busy for others until then", async () => {
  await using dir = await folder();
  const program = `${dir.path}/copies.ts`;
  await Deno.writeTextFile(program, COPIES);
  const [path, copy] = [`${dir.path}/state.db`, `${dir.path}/copy.db`];
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--no-config", program, path, copy],
    stdin: "null",
  }).spawn();
  while (!await exists(`${copy}.part`) && !await exists(copy)) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  const error = await refusal(path);
  assertEquals(error.reason, "busy");
  assertEquals(
    error.message,
    `Cannot open ${path}: another process has it open`,
  );
  child.kill("SIGKILL");
  await child.status;
  if (await exists(copy)) assertEquals((await contents(copy)).length, 100);
  const storage = sqlite(path);
  const table = await storage.open(IDENTITY);
  await storage.backup(copy);
  await table.close();
  assertEquals((await contents(copy)).length, 100);
  assert(!await exists(`${copy}.part`));
});

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch {
    return false;
  }
}
