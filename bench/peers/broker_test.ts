import { assert, assertEquals, assertRejects } from "@std/assert";
import { freePort, startBroker } from "./broker.ts";

/** A program that logs, and then does as it is told. */
function logging(script: string) {
  return {
    command: Deno.execPath(),
    args: ["eval", script],
    log: "stdout",
    ready: /ready on (\d+)/,
  } as const;
}

Deno.test("startBroker() resolves once the server is ready, and ends it with the stack", async () => {
  const processes = new AsyncDisposableStack();
  const { pid, ready } = await startBroker(
    processes,
    logging("console.log('ready on 42'); setInterval(() => {}, 1000);"),
  );
  assertEquals(ready[1], "42");
  await Deno.stat(`/proc/${pid}`);
  await processes.disposeAsync();
  await assertRejects(() => Deno.stat(`/proc/${pid}`), Deno.errors.NotFound);
});

Deno.test("startBroker() says why a server has ended", async () => {
  await using processes = new AsyncDisposableStack();
  await assertRejects(
    () => startBroker(processes, logging("console.log('no memory')")),
    Error,
    "no memory",
  );
});

Deno.test("freePort() is another one each time, none that is given to who dials", () => {
  const ports = Array.from({ length: 10 }, freePort);
  for (const port of ports) {
    using listener = Deno.listen({ hostname: "127.0.0.1", port });
    assertEquals(listener.addr.port, port);
    assert(port < 32_768); // the first one that Linux gives
  }
  assertEquals(new Set(ports).size, ports.length);
});
