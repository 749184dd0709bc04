import { assertEquals, assertThrows } from "@std/assert";
import { readTar } from "./tar.ts";

const encoder = new TextEncoder();

function entry(
  path: string,
  contents: string,
  { type = "0", prefix = "" } = {},
): Uint8Array {
  const bytes = encoder.encode(contents);
  const block = new Uint8Array(512 + Math.ceil(bytes.length / 512) * 512);
  block.set(encoder.encode(path), 0);
  block.set(encoder.encode(bytes.length.toString(8).padStart(11, "0")), 124);
  block.set(encoder.encode(type), 156);
  block.set(encoder.encode(prefix), 345);
  block.set(bytes, 512);
  return block;
}

function archive(...entries: readonly Uint8Array[]): Uint8Array {
  const all = [...entries, new Uint8Array(1024)];
  const bytes = new Uint8Array(
    all.reduce((sum, { length }) => sum + length, 0),
  );
  let at = 0;
  for (const part of all) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function read(bytes: Uint8Array): Record<string, string> {
  const files: Record<string, string> = {};
  for (const [path, contents] of readTar(bytes)) {
    files[path] = new TextDecoder().decode(contents);
  }
  return files;
}

Deno.test("readTar() reads files of any length", () => {
  const long = "x".repeat(1000);
  assertEquals(
    read(
      archive(entry("a.ts", "a"), entry("empty", ""), entry("b/c.ts", long)),
    ),
    { "a.ts": "a", "empty": "", "b/c.ts": long },
  );
});

Deno.test("readTar() joins a prefix and skips what is no file", () => {
  assertEquals(
    read(archive(
      entry("b/", "", { type: "5" }),
      entry("c.ts", "c", { prefix: "a/b" }),
    )),
    { "a/b/c.ts": "c" },
  );
});

Deno.test("readTar() refuses an entry cut short or with a malformed size", () => {
  const whole = entry("a.ts", "a");
  assertThrows(() => readTar(whole.subarray(0, 512)), SyntaxError, "byte 0");
  const malformed = whole.slice();
  malformed.set(encoder.encode("not a size "), 124);
  assertThrows(() => readTar(malformed), SyntaxError, "byte 0");
});
