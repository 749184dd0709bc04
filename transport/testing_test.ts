import { assertThrows } from "@std/assert";
import { memory } from "./memory.ts";
import { testTransport } from "./testing.ts";

Deno.test("testTransport() throws before it registers anything for an unknown name in skip", () => {
  assertThrows(
    () =>
      testTransport("memory()", {
        transport: () => memory(),
        address: "memory://0",
        skip: { "flies": "it has no wings" },
      }),
    TypeError,
    `"flies"`,
  );
});
