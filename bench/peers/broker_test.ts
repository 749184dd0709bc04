import { assertEquals, assertRejects } from "@std/assert";
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

Deno.test("freePort() is one that can be listened on", () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: freePort() });
  assertEquals(listener.addr.hostname, "127.0.0.1");
});
