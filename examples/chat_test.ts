import { assertEquals } from "@std/assert";
import { createNode } from "@devts/devts";
import { memory } from "@devts/transport/memory";
import { start } from "./_process.ts";
import { greet, meet, silent } from "./_support_test.ts";
import { chat, type ChatEvents } from "./chat.ts";

Deno.test("chat() prints what the others say, under their names", async () => {
  const { ada, bob } = await greet("memory://ada", { transport: memory() });
  assertEquals(ada, ["* b is here", "b: hi"]);
  assertEquals(bob, ["* Ada is here", "Ada: hello"]);
});

Deno.test("chat() prints no control characters of others", async () => {
  const options = { cluster: "test", transport: memory(), logger: silent };
  await using ada = createNode<ChatEvents>(options);
  await using bob = createNode<ChatEvents>({ ...options, meta: "b\x07b" });
  const { promise: heard, resolve } = Promise.withResolvers<void>();
  const lines: string[] = [];
  chat(ada, (line) => lines.push(line));
  ada.on("say", () => resolve());
  await ada.listen("memory://ada");
  await meet(bob, ada);
  await bob.emit("say", "\x1b[2Jhi");
  await heard;
  assertEquals(lines, ["* b\uFFFDb is here", "b\uFFFDb: \uFFFD[2Jhi"]);
});

Deno.test("chat.ts says what is typed and prints what is said", async () => {
  await using ada = start("chat.ts", ["--name", "Ada"]);
  const [, port = ""] = await ada.line(/cluster port (\d+)/);
  await using bob = start("chat.ts", [port, "--name", "Bob"]);
  await ada.line(/^\* Bob is here$/);
  await ada.type("hello");
  await bob.line(/^Ada: hello$/);
});

Deno.test("chat.ts ends with its input", async () => {
  await using ada = start("chat.ts", []);
  await ada.line(/cluster port/);
  await ada.endInput();
  assertEquals((await ada.status).code, 0);
});
