import { assertEquals, assertRejects } from "@std/assert";
import { createNode, StreamError } from "@devts/devts";
import { memory } from "@devts/transport/memory";
import { start } from "./_process.ts";
import { meet, silent } from "./_support_test.ts";
import { sendFile, takeFiles, type TransferEvents } from "./transfer.ts";

/** A file of bytes that tell where they are. */
async function makeFile(directory: string, size: number): Promise<Uint8Array> {
  const bytes = Uint8Array.from(
    { length: size },
    (_, at) => at * 7 + (at >>> 9),
  );
  await Deno.writeFile(`${directory}/data.bin`, bytes);
  return bytes;
}

/** A directory that is removed at the end. */
async function temporary(): Promise<{ path: string } & AsyncDisposable> {
  const path = await Deno.makeTempDir();
  return {
    path,
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
}

Deno.test("sendFile() sends what the other end does not have yet", async () => {
  await using from = await temporary();
  await using to = await temporary();
  const bytes = await makeFile(from.path, 3_000_000);
  // As after a transfer that was broken off.
  const part = `${to.path}/.data.bin.${bytes.length}.part`;
  await Deno.writeFile(part, bytes.subarray(0, 1_234_567));
  const options = { cluster: "test", transport: memory(), logger: silent };
  await using taker = createNode<TransferEvents>(options);
  await using sender = createNode<TransferEvents>(options);
  takeFiles(taker, to.path, () => {});
  await taker.listen("memory://taker");
  await meet(sender, taker);
  const lines: string[] = [];
  const sent = await sendFile(
    sender,
    taker.id,
    `${from.path}/data.bin`,
    (line) => lines.push(line),
  );
  assertEquals(sent, bytes.length - 1_234_567);
  assertEquals(lines[0], "goes on at 41 %");
  assertEquals(await Deno.readFile(`${to.path}/data.bin`), bytes);
});

Deno.test("takeFiles() takes no names that lead elsewhere", async () => {
  await using to = await temporary();
  const options = { cluster: "test", transport: memory(), logger: silent };
  await using taker = createNode<TransferEvents>(options);
  await using sender = createNode<TransferEvents>(options);
  takeFiles(taker, to.path, () => {});
  await taker.listen("memory://taker");
  await meet(sender, taker);
  for (const name of ["../up", "a/b", "", ".hidden"]) {
    const stream = await sender.open(taker.id, "upload");
    stream.send({ name, size: 1 });
    await assertRejects(() => stream.receive(), StreamError, "no offer");
  }
  assertEquals(await Array.fromAsync(Deno.readDir(to.path)), []);
});

Deno.test("transfer.ts sends a file to another process", async () => {
  await using from = await temporary();
  await using to = await temporary();
  const bytes = await makeFile(from.path, 5_000_000);
  await using taker = start("transfer.ts", ["--to", to.path]);
  const [, port = ""] = await taker.line(/cluster port (\d+)/);
  const path = `${from.path}/data.bin`;
  await using sender = start("transfer.ts", [port, "--file", path]);
  await sender.line(/^sent .*data\.bin to .*: 5000000 bytes$/);
  await taker.line(/^took data\.bin from .*: 5000000 bytes$/);
  assertEquals(await Deno.readFile(`${to.path}/data.bin`), bytes);
});
