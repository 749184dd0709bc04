import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { InvariantError } from "./_invariant.ts";
import { VirtualNetwork } from "./_virtual_network.ts";
import type { VirtualConnection } from "./_virtual_transport.ts";
import type {
  VirtualMachine,
  VirtualNetworkOptions,
} from "./_virtual_types.ts";

interface Pair {
  readonly network: VirtualNetwork;
  readonly ada: VirtualMachine;
  readonly bob: VirtualMachine;
  readonly dialled: VirtualConnection;
  readonly accepted: VirtualConnection;
}

async function pair(options: VirtualNetworkOptions = {}): Promise<Pair> {
  const network = new VirtualNetwork(options);
  const ada = network.machine("ada");
  const bob = network.machine("bob");
  const listener = await ada.transport.listen("virtual://ada");
  const taking = listener[Symbol.asyncIterator]().next();
  const dialled = await network.clock.settle(
    bob.transport.connect("virtual://ada"),
  );
  const accepted = (await taking).value;
  return { network, ada, bob, dialled, accepted };
}

function isPending(promise: Promise<unknown>): Promise<boolean> {
  return Promise.race([
    promise.then(() => false, () => false),
    new Promise<boolean>((resolve) => setImmediate(() => resolve(true))),
  ]);
}

Deno.test("VirtualMachine.transport carries messages in the latency of the network", async () => {
  const { network, dialled, accepted } = await pair({ latency: 25 });
  const start = network.clock.now();
  dialled.send(Uint8Array.of(1));
  dialled.send(Uint8Array.of(2));
  const { clock } = network;
  assertEquals(await clock.settle(accepted.receive()), Uint8Array.of(1));
  assertEquals(clock.now() - start, 25);
  assertEquals(await clock.settle(accepted.receive()), Uint8Array.of(2));
  assertEquals(clock.now() - start, 25);
});

Deno.test("VirtualMachine.transport gets no answer from behind a cut", async () => {
  const { network, bob } = await pair({ dialTimeout: 700 });
  network.cut("ada", "bob");
  const start = network.clock.now();
  await assertRejects(
    () => network.clock.settle(bob.transport.connect("virtual://ada")),
    Error,
    "timed out",
  );
  assertEquals(network.clock.now() - start, 700);
});

Deno.test("VirtualMachine.transport holds what is sent behind a cut, within its window", async () => {
  const { network, dialled, accepted } = await pair();
  network.cut("ada", "bob");
  const kib = new Uint8Array(1_024);
  let sent = 0;
  while (sent < 2_000 && !await isPending(dialled.send(kib))) sent++;
  assert(sent > 900 && sent < 1_024, `${sent} messages`);
  const receiving = accepted.receive();
  await network.clock.pass(10_000);
  assert(await isPending(receiving));
  network.healAll();
  assertEquals((await network.clock.settle(receiving))?.length, 1_024);
});

Deno.test("VirtualMachine.crash() ends its connections at the other end", async () => {
  const { network, ada, dialled } = await pair();
  ada.crash();
  assertEquals(await network.clock.settle(dialled.receive()), null);
  await assertRejects(() => dialled.send(Uint8Array.of(1)), Error, "is over");
});

Deno.test("VirtualMachine.crash() in silence leaves them open until they are used after the restart", async () => {
  const { network, ada, dialled } = await pair();
  const receiving = dialled.receive();
  ada.crash("silence");
  dialled.send(Uint8Array.of(1));
  await network.clock.pass(60_000);
  assert(await isPending(receiving));
  ada.restart();
  await assertRejects(() => network.clock.settle(receiving), Error, "is over");
});

Deno.test("VirtualMachine.crash() ends what its program waits for", async () => {
  const { network, ada, accepted } = await pair();
  const { clock, transport } = ada;
  const receiving = accepted.receive();
  let fired = 0;
  clock.after(10, () => fired++);
  ada.crash();
  clock.after(10, () => fired++);
  clock.soon(() => fired++);
  await network.clock.pass(1_000);
  ada.restart();
  clock.after(10, () => fired++);
  clock.soon(() => fired++);
  await network.clock.pass(1_000);
  const listening = transport.listen("virtual://again");
  assertEquals(await isPending(receiving), true);
  assertEquals(await isPending(listening), true);
  assertEquals(fired, 0);
});

for (const delay of [0, 15]) {
  Deno.test(`VirtualMachine.crash() ends a dial, and a restart ${delay} ms later does not answer it`, async () => {
    const network = new VirtualNetwork({ latency: 10 });
    const ada = network.machine("ada");
    const bob = network.machine("bob");
    const listener = await ada.transport.listen("virtual://ada");
    const taking = listener[Symbol.asyncIterator]().next();
    const dialling = bob.transport.connect("virtual://ada");
    await network.clock.pass(5);
    bob.crash();
    await network.clock.pass(delay);
    bob.restart();
    await network.clock.pass(60_000);
    assert(await isPending(dialling));
    assert(await isPending(taking));
  });
}

Deno.test("VirtualMachine.restart() starts its program anew, with other parts", async () => {
  const network = new VirtualNetwork();
  const lives: unknown[] = [];
  const machine = network.machine("ada", {
    start: ({ clock, transport, random }) => {
      lives.push(transport);
      transport.listen("virtual://ada");
      clock.after(random(), () => {});
    },
  });
  assertThrows(() => machine.restart(), TypeError, "running");
  await network.clock.pass(10);
  machine.crash();
  machine.restart();
  await network.clock.pass(10);
  assertEquals(lives.length, 2);
  assert(lives[0] !== lives[1]);
  const bob = network.machine("bob");
  await network.clock.settle(bob.transport.connect("virtual://ada"));
});

Deno.test("VirtualMachine.pause() holds what arrives until resume()", async () => {
  const { network, ada, dialled, accepted } = await pair();
  const receiving = accepted.receive();
  ada.pause();
  dialled.send(Uint8Array.of(1));
  await network.clock.pass(5_000);
  assert(await isPending(receiving));
  ada.resume();
  assertEquals(await receiving, Uint8Array.of(1));
});

Deno.test("VirtualMachine.always() checks once promises have settled", async () => {
  const { network, ada, dialled, accepted } = await pair();
  let received = 0;
  async function take(): Promise<void> {
    for await (const _ of accepted) {
      await Promise.resolve();
      received++;
    }
  }
  take();
  ada.always("few arrive", () => assert(received < 3, `${received} arrived`));
  dialled.send(Uint8Array.of(1));
  dialled.send(Uint8Array.of(2));
  await network.clock.pass(10);
  dialled.send(Uint8Array.of(3));
  const error = await assertRejects(
    () => network.clock.pass(10),
    InvariantError,
    "3 arrived",
  );
  assertEquals(error.node, "ada");
});

Deno.test("VirtualNetwork.machine() refuses a name twice, and is no node", () => {
  const network = new VirtualNetwork();
  network.machine("ada");
  assertThrows(() => network.machine("ada"), TypeError, '"ada"');
  assertThrows(() => network.node("ada"), TypeError, "it is a machine");
  assertEquals(network.machines.map(({ id }) => id), ["ada"]);
  assertEquals(network.nodes, []);
});
