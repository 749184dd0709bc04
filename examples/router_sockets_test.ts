import { assertEquals, assertStringIncludes } from "@std/assert";
import { connect } from "node:net";
import { type Process, start } from "./_process.ts";

async function portOf(process: Process): Promise<string> {
  return (await process.line(/listens on port (\d+)$/))[1] ?? "";
}

Deno.test("router_sockets.ts links programs that reach each other through others", async () => {
  await using ada = start("router_sockets.ts", ["ada"]);
  await using bob = start("router_sockets.ts", ["bob", await portOf(ada)]);
  await using cyd = start("router_sockets.ts", ["cyd", await portOf(bob)]);
  await ada.line(/^\* cyd is here, by way of bob$/);
  await cyd.line(/^\* ada is here, by way of bob$/);
  await ada.type("hello");
  await Promise.all([bob.line(/^ada: hello$/), cyd.line(/^ada: hello$/)]);
  await cyd.type("@ada for you");
  await ada.line(/^cyd: for you$/);
  assertEquals(bob.lines.some((line) => line.includes("for you")), false);

  bob.kill("SIGKILL");
  await ada.line(/^\* cyd is gone$/);
  await ada.type("@cyd hello");
  await ada.line(/^\* Cannot find a way to node "cyd"$/);
  await ada.endInput();
  assertEquals((await ada.status).code, 0);
});

Deno.test("router_sockets.ts bears what makes no sense", async () => {
  await using ada = start("router_sockets.ts", ["ada"]);
  const port = await portOf(ada);
  const frames = [
    [255, 255, 255, 255, 0],
    [0, 0, 0, 1, 9],
    [0, 0, 0, 2, 0, 123, 125],
    [0, 0, 0, 1, 1, 120],
  ];
  for (const frame of frames) {
    const { promise, resolve } = Promise.withResolvers<void>();
    const socket = connect({ port: Number(port), host: "127.0.0.1" });
    socket.on("error", () => {});
    socket.on("close", () => resolve());
    socket.resume();
    socket.write(Uint8Array.from(frame));
    await promise;
  }
  await using bob = start("router_sockets.ts", ["bob", port]);
  await ada.line(/^\* bob is here$/);
  await bob.line(/^\* ada is here$/);
});

Deno.test("router_sockets.ts shows how it is used", async () => {
  for (
    const [args, code] of [[["--help"], 0], [[], 2], [["a", "x"], 2]] as const
  ) {
    await using process = start("router_sockets.ts", args);
    assertEquals((await process.status).code, code);
    assertStringIncludes(process.lines[0] ?? "", "examples/router_sockets.ts");
  }
});
