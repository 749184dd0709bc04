import { assertEquals, assertInstanceOf } from "@std/assert";
import { NodeNotFoundError } from "./mod.ts";

Deno.test("NodeNotFoundError names the node", () => {
  const error = new NodeNotFoundError("bob");
  assertInstanceOf(error, Error);
  assertEquals(error.name, "NodeNotFoundError");
  assertEquals(error.id, "bob");
  assertEquals(error.message, 'Cannot find a way to node "bob"');
  assertEquals(new NodeNotFoundError("bob", "No").message, "No");
});
