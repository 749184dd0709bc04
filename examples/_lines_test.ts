import { assertEquals } from "@std/assert";
import { linesOf } from "./_lines.ts";

function lines(...chunks: string[]): Promise<string[]> {
  const bytes = chunks.map((chunk) => new TextEncoder().encode(chunk));
  return Array.fromAsync(linesOf(ReadableStream.from(bytes)));
}

Deno.test("linesOf() joins what was cut into chunks", async () => {
  assertEquals(await lines("a\nb", "c\r", "\n\nd"), ["a", "bc", "", "d"]);
  assertEquals(await lines("a\n"), ["a"]);
  assertEquals(await lines(), []);
});

Deno.test("linesOf() joins characters that were cut into chunks", async () => {
  const bytes = new TextEncoder().encode("é\n");
  const stream = ReadableStream.from([bytes.slice(0, 1), bytes.slice(1)]);
  assertEquals(await Array.fromAsync(linesOf(stream)), ["é"]);
});

Deno.test("linesOf() cuts a line that does not end", async () => {
  const endless = "x".repeat(70_000);
  assertEquals(await lines(endless, "y\n"), [endless, "y"]);
});
