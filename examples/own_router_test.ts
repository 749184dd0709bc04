import { assertEquals } from "@std/assert";
import { createNode } from "@devts/devts";
import { testRouter } from "@devts/routing/testing";
import { wrapTransport } from "@devts/transport";
import { memory } from "@devts/transport/memory";
import { type Process, start } from "./_process.ts";
import { greet, isMember, meet, silent } from "./_support_test.ts";
import { beaconRouter } from "./own_router.ts";

interface Greeting {
  greet(name: string): string;
}

Deno.test("beaconRouter() carries a chat", async () => {
  const parts = { transport: memory(), router: beaconRouter() };
  const { ada, bob } = await greet("memory://ada", parts);
  assertEquals(ada, ["* b is here", "b: hi"]);
  assertEquals(bob, ["* Ada is here", "Ada: hello"]);
});

Deno.test("own_router.ts runs the chat of chat.ts through the node between", async () => {
  await using ada = start("own_router.ts", ["--name", "Ada"]);
  await using bob = start("own_router.ts", [
    await portOf(ada),
    "--name",
    "Bob",
  ]);
  await using cyd = start("own_router.ts", [
    await portOf(bob),
    "--name",
    "Cyd",
  ]);
  await Promise.all([
    ada.line(/^\* Cyd is here$/),
    cyd.line(/^\* Ada is here$/),
  ]);
  await ada.type("hello");
  await cyd.line(/^Ada: hello$/);
  cyd.kill("SIGTERM");
  await ada.line(/ is gone: left /);
});

async function portOf(process: Process): Promise<string> {
  return (await process.line(/cluster port (\d+)/))[1] ?? "";
}

Deno.test("beaconRouter() lets the ends of a line talk without a link", async () => {
  const dialled: string[] = [];
  const network = memory();
  const transport = wrapTransport(network, {
    connect(address, options) {
      dialled.push(address);
      return network.connect(address, options);
    },
  });
  const options = {
    cluster: "test",
    transport,
    logger: silent,
    router: beaconRouter(),
  };
  await using ada = createNode<Greeting>({ ...options, id: "ada" });
  await using bob = createNode<Greeting>({ ...options, id: "bob" });
  await using cyd = createNode<Greeting>({ ...options, id: "cyd" });
  for (const node of [ada, bob, cyd]) {
    node.on("greet", (name) => `hello ${name}`);
  }
  await ada.listen("memory://ada");
  await bob.listen("memory://bob");
  await meet(bob, ada);
  await meet(cyd, bob);
  await Promise.all([isMember(cyd, "ada"), isMember(ada, "cyd")]);

  assertEquals(await cyd.request("ada", "greet", "Cyd"), "hello Cyd");
  assertEquals(await ada.emit("greet", "all"), { nodes: 2, dropped: 0 });
  assertEquals(dialled, ["memory://ada", "memory://bob"]);
});

// What a router promises is a suite that anybody can run. What this one does not
// promise is named, with the reason.
const lost = "it has no receipts: what a link loses is not reported";
const skip = {
  "receive() takes a packet once, whoever brings it again":
    "it numbers no packets",
  "undelivered() names all that is lost with a link": lost,
  "undelivered() names what is for a node that has fallen silent": lost,
};
testRouter("beaconRouter()", beaconRouter(), { topology: "mesh" });
testRouter("beaconRouter()", beaconRouter(), { topology: "line", skip });
testRouter("beaconRouter()", beaconRouter(), {
  topology: "ring",
  skip: {
    ...skip,
    "send() reaches everyone once, in the order of each sender":
      "it keeps no order where the way changes",
  },
});
