import {
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertRejects,
} from "@std/assert";
import { tcp } from "./tcp.ts";
import { testTransport } from "./testing.ts";
import { ConnectionError } from "./types.ts";

testTransport("tcp()", {
  transport: () => tcp(),
  address: "tcp://127.0.0.1:0",
});

Deno.test("tcp() says which host and port it cannot reach, with the cause", async () => {
  const transport = tcp();
  const unresolvable = await assertRejects(
    () => transport.connect("tcp://no-such-host.invalid:1"),
    ConnectionError,
    `Cannot connect to "tcp://no-such-host.invalid:1": `,
  );
  assertInstanceOf(unresolvable.cause, Error);
  await assertRejects(
    () => transport.listen("tcp://no-such-host.invalid:0"),
    ConnectionError,
    `Cannot listen on "tcp://no-such-host.invalid:0": `,
  );
});

Deno.test("tcp() refuses to connect to port 0", async () => {
  await assertRejects(
    () => tcp().connect("tcp://127.0.0.1:0"),
    TypeError,
    "port 0",
  );
});

Deno.test("tcp() keeps the host of the address and fills in the port", async () => {
  await using listener = await tcp().listen("tcp://localhost:0");
  assertMatch(listener.address, /^tcp:\/\/localhost:[1-9]\d*$/);
});

Deno.test("tcp() applies its limits to both ends", async () => {
  await using listener = await tcp().listen("tcp://127.0.0.1:0");
  await using dialled = await tcp({ maxMessage: 10 }).connect(listener.address);
  await assertRejects(() => dialled.send(new Uint8Array(11)), RangeError);
  for await (const connection of listener) {
    await using accepted = connection;
    await accepted.send(new Uint8Array(11));
    await assertRejects(() => dialled.receive(), ConnectionError);
    break;
  }
});

Deno.test("tcp() ends only the connection of a stranger who sends garbage", async () => {
  await using listener = await tcp().listen("tcp://127.0.0.1:0");
  const port = Number(listener.address.split(":").at(-1));
  using stranger = await Deno.connect({ hostname: "127.0.0.1", port });
  await stranger.write(new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"));
  const iterator = listener[Symbol.asyncIterator]();
  const { value: garbled } = await iterator.next();
  await assertRejects(() => garbled.receive(), ConnectionError, "at most");
  await using dialled = await tcp().connect(listener.address);
  await dialled.send(new Uint8Array(3));
  const { value: good } = await iterator.next();
  assertEquals(await good.receive(), new Uint8Array(3));
  await Promise.all([good.close(), dialled.close()]);
});
