import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { combine } from "./combine.ts";
import { memory, MemoryNetwork } from "./memory.ts";
import { tcp } from "./tcp.ts";

Deno.test("combine() picks by scheme", async () => {
  const network = new MemoryNetwork();
  const transport = combine(tcp(), memory(network));
  assertEquals(transport.schemes, ["tcp", "memory"]);
  await using _listener = await transport.listen("memory://a");
  assertEquals(network.addresses, ["memory://a"]);
  await using connection = await transport.connect("memory://a");
  assertEquals(connection.remote, "memory://a");
});

Deno.test("combine() can be combined again", () => {
  const transport = combine(combine(tcp()), memory());
  assertEquals(transport.schemes, ["tcp", "memory"]);
});

Deno.test("combine() throws for two transports of one scheme", () => {
  assertThrows(() => combine(tcp(), tcp()), TypeError, `"tcp"`);
});

Deno.test("combine() names the schemes it knows when asked for another", async () => {
  const transport = combine(tcp(), memory());
  for (const address of ["quic://a:1", "nonsense", ""]) {
    for (
      const attempt of [
        () => transport.connect(address),
        () => transport.listen(address),
      ]
    ) {
      await assertRejects(attempt, TypeError, `"tcp://", "memory://"`);
    }
  }
});
