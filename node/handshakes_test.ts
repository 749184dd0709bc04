import { assertEquals, assertRejects } from "@std/assert";
import { v1 } from "@devts/protocol/v1";
import { incarnationAt } from "@devts/routing";
import { VirtualClock } from "@devts/routing/testing";
import { Handshakes } from "./handshakes.ts";
import { noneMet, withDefaults } from "./limits.ts";
import { FakeConnection, pass, turn } from "./_support_test.ts";

function setUp() {
  const clock = new VirtualClock();
  const met = noneMet();
  const connection = new FakeConnection();
  const faults: unknown[] = [];
  const handshakes = new Handshakes({
    safety: { security: null, insecure: false },
    protocol: v1(),
    clock,
    met,
    limits: withDefaults({ handshakeTime: 5_000 }),
    fault: (connection) => faults.push(connection),
  });
  const start = (role: "dialer" | "acceptor" = "acceptor") =>
    handshakes.introduce(connection, {
      role,
      self: () => ({
        cluster: "test",
        id: "ada",
        incarnation: incarnationAt(0),
        format: "msgpack",
        addresses: [],
        meta: new Uint8Array(),
        maxMessage: 1_048_576,
      }),
      admit: () => null,
    });
  return { clock, met, connection, faults, handshakes, start };
}

Deno.test("Handshakes.introduce() ends in time, and notes whoever stalled", async () => {
  const { clock, met, connection, faults, start } = setUp();
  const rejected = assertRejects(start, Error, "took longer than 5 s");
  await pass(clock, 4_999);
  assertEquals(connection.closes.length, 0);
  await pass(clock, 1);
  await rejected;
  assertEquals(connection.closes.length, 1);
  assertEquals(met.handshakeTime, 1);
  assertEquals(faults, [connection]);
});

Deno.test("Handshakes.introduce() ends in time although the connection heeds nothing", async () => {
  const { clock, connection, start } = setUp();
  connection.receive = () => new Promise(() => {});
  connection.close = () => new Promise(() => {});
  const rejected = assertRejects(start, Error, "took longer than 5 s");
  await pass(clock, 5_000);
  await rejected;
});

Deno.test("Handshakes.introduce() notes nonsense, but nobody who leaves without a word", async () => {
  const silent = setUp();
  silent.connection.arrive(null);
  await assertRejects(() => silent.start());
  assertEquals(silent.faults, []);

  const loud = setUp();
  loud.connection.arrive(Uint8Array.of(1, 2, 3));
  await assertRejects(() => loud.start());
  assertEquals(loud.faults, [loud.connection]);

  const garbled = setUp();
  const cause = new Error("received corrupt message");
  cause.name = "InvalidData";
  garbled.connection.receive = () =>
    Promise.reject(new Error("the connection broke", { cause }));
  await assertRejects(() => garbled.start());
  assertEquals(garbled.faults, [garbled.connection]);

  const dialled = setUp();
  dialled.connection.arrive(Uint8Array.of(1, 2, 3));
  await assertRejects(() => dialled.start("dialer"));
  assertEquals(dialled.faults, [], "this node went there of its own");
});

Deno.test("Handshakes.close() ends all of them", async () => {
  const { connection, handshakes, start, faults } = setUp();
  const rejected = assertRejects(start, Error, "closing");
  await turn();
  handshakes.close("closing");
  await rejected;
  assertEquals(connection.closes.map((reason) => reason?.message), ["closing"]);
  assertEquals(faults, []);
});
