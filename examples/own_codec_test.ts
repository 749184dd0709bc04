import { assertEquals, assertThrows } from "@std/assert";
import { createNode } from "@devts/devts";
import { testCodec } from "@devts/protocol/testing";
import { memory } from "@devts/transport/memory";
import { camera, cbor } from "./own_codec.ts";
import { start } from "./_process.ts";
import { greet, meet, silent } from "./_support_test.ts";

testCodec("cbor()", {
  codec: cbor,
  skip: { bigint: "a small bigint would arrive as a number" },
});

Deno.test("cbor() says where it cannot carry something", () => {
  const error = assertThrows(
    () => cbor().encode({ a: [1, { at: new Date(0) }] }),
    TypeError,
  );
  assertEquals(
    error.message,
    "Cannot encode value at $.a[1].at: an instance of Date is not plain data",
  );
});

Deno.test("A codec of one's own carries a chat", async () => {
  const { ada, bob } = await greet("memory://ada", {
    transport: memory(),
    codec: cbor(),
  });
  assertEquals(ada, ["* b is here", "b: hi"]);
  assertEquals(bob, ["* Ada is here", "Ada: hello"]);
});

Deno.test("One event of a contract has a codec of its own", async () => {
  const options = {
    cluster: "test",
    transport: memory(),
    contract: camera,
    logger: silent,
  };
  await using ada = createNode({ ...options, id: "ada" });
  await using bob = createNode({ ...options, id: "bob" });
  bob.on("picture", (picture) => ({ got: picture }));
  bob.on("moved", (way) => way);
  await ada.listen("memory://ada");
  await meet(bob, ada);
  const picture = { pixels: new Uint8Array([1, 2]) };
  assertEquals(await ada.request("bob", "picture", picture), { got: picture });
  assertEquals(await ada.request("bob", "moved", 7), 7);
});

Deno.test("own_codec.ts runs the chat of chat.ts", async () => {
  await using ada = start("own_codec.ts", ["--name", "Ada"]);
  const [, port = ""] = await ada.line(/cluster port (\d+)/);
  await using bob = start("own_codec.ts", [port]);
  await ada.line(/is here$/);
  await ada.type("hello");
  await bob.line(/^Ada: hello$/);
});
