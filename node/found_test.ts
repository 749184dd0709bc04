import { assert, assertEquals } from "@std/assert";
import {
  type Address,
  type Connection,
  type Transport,
  wrapTransport,
} from "@devts/transport";
import { memory } from "@devts/transport/memory";
import { Found } from "./found.ts";
import { eventually, pass, passFor, peer, turn } from "./_support_test.ts";
import { virtualWorld } from "./_world_test.ts";

/** A node that has a link from 10.0.0.7; `answering`: where it answers. */
function setUp(answering: readonly Address[]) {
  const dialled: Address[] = [];
  const linked = new Map([["ada", "tcp://10.0.0.7:50000"]]);
  const found = new Found({
    remote: (id) => linked.get(id) ?? null,
    dialable: (addresses) => addresses.slice(0, 4),
    answers: async (address) => {
      dialled.push(address);
      await turn();
      return answering.includes(address);
    },
  });
  return { found, dialled, linked };
}

const HERE = "tcp://10.0.0.7:7946";
const NAMED = "tcp://ada.example:7946";
const TRAP = "tcp://192.0.2.1:25";

Deno.test("Found.has() is content with the host that a link comes from", async () => {
  const { found, dialled, linked } = setUp([]);
  assertEquals(found.has("ada", HERE), true);
  assertEquals(found.has("ada", NAMED), false);
  await found.look({ ...peer("ada"), addresses: [HERE] });
  assertEquals(dialled, []);
  // It stays known once the link has ended.
  linked.clear();
  assertEquals(found.has("ada", HERE), true);
  assertEquals(found.has("ada", "tcp://10.0.0.7:7947"), false);
});

Deno.test("Found.look() dials once where a node says that it is otherwise", async () => {
  const { found, dialled, linked } = setUp([NAMED]);
  const addresses = [HERE, NAMED, TRAP];
  await found.look({ ...peer("ada"), addresses });
  assertEquals(dialled, [NAMED, TRAP]);
  assertEquals(found.has("ada", NAMED), true);
  assertEquals(found.has("ada", TRAP), false);
  assertEquals(found.has("bob", NAMED), false);
  // Nor is it looked for once the link has ended.
  linked.clear();
  await found.look({ ...peer("ada"), addresses: [TRAP] });
  assertEquals(dialled.length, 2);
  assertEquals(found.has("ada", NAMED), true);
});

Deno.test("Found.look() takes up the last of what changes meanwhile", async () => {
  const { found, dialled } = setUp([NAMED]);
  const told = (address: Address) => ({ ...peer("ada"), addresses: [address] });
  const first = found.look(told(TRAP));
  for (let port = 1; port < 100; port++) {
    await found.look(told(`tcp://192.0.2.2:${port}`));
  }
  await found.look(told(NAMED));
  await first;
  await eventually(() => found.has("ada", NAMED));
  assertEquals(dialled, [TRAP, NAMED]);
});

Deno.test("Found remembers 8 addresses of 4,096 nodes", () => {
  const { found } = setUp([]);
  for (let i = 0; i < 20; i++) found.note("ada", `tcp://h${i}:1`);
  assertEquals(found.has("ada", "tcp://h7:1"), true);
  assertEquals(found.has("ada", "tcp://h8:1"), false);
  for (let i = 0; i < 4_096; i++) found.note(`${i}`, HERE);
  assertEquals(found.has("ada", "tcp://h7:1"), false);
  assertEquals(found.has("0", HERE), true);
});

Deno.test("Node tells others where a node is only once it was found there", async () => {
  await using world = virtualWorld();
  const hosts = new Hosts();
  const options = { insecure: true };
  const on = (id: string, host: string, ...advertise: Address[]) =>
    world.add(id, {
      ...options,
      advertise,
      transport: hosts.on(host, memory(world.network)),
    }).node;
  const entry = on("entry", "10.0.0.1");
  await entry.listen("tcp://10.0.0.1:1");
  const named = on("named", "10.0.0.2", "tcp://named.example:1");
  await named.listen("tcp://named.example:1");
  const liar = on("liar", "10.0.0.3", TRAP, "tcp://10.0.0.3:9");
  await passFor(world.clock, named.join("tcp://10.0.0.1:1"));
  await passFor(world.clock, liar.join("tcp://10.0.0.1:1"));
  await pass(world.clock, 5_000);
  // Once each by the two that have a link with it.
  assertEquals(hosts.dials.get(TRAP), 2);
  const dials = hosts.dials.get("tcp://named.example:1") ?? 0;

  // Whoever comes later is told of what was found, and dials nothing else.
  const late = on("a-late-one", "10.0.0.4");
  await passFor(world.clock, late.join("tcp://10.0.0.1:1"));
  await pass(world.clock, 5_000);
  assert(late.members.has("named"));
  assertEquals(hosts.dials.get("tcp://named.example:1"), dials + 1);
  assertEquals(hosts.dials.get(TRAP), 2);
});

/** A network in memory, in which nodes seem to be on hosts. */
class Hosts {
  /** How often each address was dialled. */
  readonly dials = new Map<Address, number>();
  /** The hosts from which connections come that are not accepted yet. */
  readonly #dialers: string[] = [];

  on(host: string, inner: Transport): Transport {
    return wrapTransport(inner, {
      schemes: ["tcp"],
      connect: async (address, options) => {
        this.dials.set(address, (this.dials.get(address) ?? 0) + 1);
        const connecting = inner.connect(inMemory(address), options);
        this.#dialers.push(host);
        try {
          return seenAs(await connecting, address);
        } catch (error) {
          this.#dialers.pop();
          throw error;
        }
      },
      listen: async (address) => {
        const listener = await inner.listen(inMemory(address));
        const dialers = this.#dialers;
        return {
          address,
          close: () => listener.close(),
          async *[Symbol.asyncIterator]() {
            for await (const connection of listener) {
              yield seenAs(connection, `tcp://${dialers.shift()}:50000`);
            }
          },
          [Symbol.asyncDispose]: () => listener.close(),
        };
      },
    });
  }
}

function inMemory(address: Address): Address {
  return `memory://${address.slice("tcp://".length).replaceAll(":", "-")}`;
}

function seenAs(connection: Connection, remote: Address): Connection {
  return {
    remote,
    send: (message) => connection.send(message),
    receive: (options) => connection.receive(options),
    close: (reason) => connection.close(reason),
    [Symbol.asyncIterator]: () => connection[Symbol.asyncIterator](),
    [Symbol.asyncDispose]: () => connection.close(),
  };
}
