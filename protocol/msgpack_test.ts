import { assert, assertEquals } from "@std/assert";
import { msgpack } from "./msgpack.ts";
import { testCodec, testMessagePack } from "./testing.ts";

testCodec("msgpack()", { codec: msgpack });
testMessagePack("msgpack()", msgpack);

Deno.test("msgpack() decodes byte fields as views of the source", () => {
  const codec = msgpack();
  const source = codec.encode([Uint8Array.of(1, 2, 3)]);
  const decoded = codec.decode(source);
  assert(Array.isArray(decoded) && decoded[0] instanceof Uint8Array);
  assertEquals(decoded[0].buffer, source.buffer);
});
