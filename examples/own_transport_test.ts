import { assert, assertEquals, assertRejects } from "@std/assert";
import { ConnectionError } from "@devts/transport";
import { testTransport } from "@devts/transport/testing";
import { start } from "./_process.ts";
import { greet } from "./_support_test.ts";
import { certificateIn, createCertificate, stcp } from "./own_transport.ts";

const ADDRESS = "stcp://127.0.0.1:0";
const pem = await createCertificate();

// What a transport promises is a suite that anybody can run.
testTransport("stcp()", { transport: () => stcp(pem), address: ADDRESS });

Deno.test("stcp() carries a chat", async () => {
  const { ada, bob } = await greet(ADDRESS, { transport: stcp(pem) });
  assertEquals(ada, ["* b is here", "b: hi"]);
  assertEquals(bob, ["* Ada is here", "Ada: hello"]);
});

Deno.test("stcp() talks to nobody with another certificate", async () => {
  await using listener = await stcp(await createCertificate()).listen(ADDRESS);
  await using dialled = await stcp(pem).connect(listener.address);
  const accepting = listener[Symbol.asyncIterator]().next();
  dialled.send(new Uint8Array(3)).catch(() => {});
  const { value: accepted } = await accepting;
  await Promise.all([
    assertRejects(() => dialled.receive(), ConnectionError, "certificate"),
    assertRejects(() => accepted.receive(), ConnectionError),
  ]);
  await accepted.close();
});

Deno.test("certificateIn() makes a certificate once, for its owner alone", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const file = `${folder}/stcp.pem`;
    const made = await certificateIn(file);
    assertEquals(await certificateIn(file), made);
    const { mode } = await Deno.stat(file);
    assert(Deno.build.os === "windows" || ((mode ?? 0) & 0o077) === 0);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("own_transport.ts runs the chat of chat.ts", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const shared = ["--certificate", `${folder}/stcp.pem`];
    await using ada = start("own_transport.ts", [...shared, "--name", "Ada"]);
    const [, port = ""] = await ada.line(/stcp:\/\/.*cluster port (\d+)/);
    await using bob = start("own_transport.ts", [port, ...shared]);
    await ada.line(/is here$/);
    await ada.type("hello");
    await bob.line(/^Ada: hello$/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
