import { createNode, type Logger, type Node } from "@devts/devts";
import { ConnectionError } from "@devts/transport";
import {
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };

interface Events {
  anything(value: unknown): unknown;
}

function open(logger: Logger = silent): Node<Events> {
  return createNode<Events>({ cluster: "errors", id: "me", logger });
}

// -- Addresses --

Deno.test("Node.listen() names the address that is in use", async () => {
  await using first = open();
  await using second = open();
  const address = await first.listen("tcp://127.0.0.1:0");
  const error = await assertRejects(
    () => second.listen(address),
    ConnectionError,
  );
  assertStringIncludes(error.message, `Cannot listen on "${address}": `);
  assertStringIncludes(error.message, "in use");
});

/** Addresses that no node can use, and what is said of them. */
const malformed: readonly {
  readonly address: string;
  readonly says: string;
}[] = [
  { address: "", says: "write it as a URL" },
  { address: "127.0.0.1:7946", says: "write it as a URL" },
  { address: "localhost", says: "write it as a URL" },
  { address: "tcp:/127.0.0.1:7946", says: "write it as a URL" },
  { address: "tcp://127.0.0.1", says: "the port is missing" },
  { address: "tcp://127.0.0.1:", says: "port" },
  { address: "tcp://127.0.0.1:port", says: "port" },
  { address: "tcp://127.0.0.1:65536", says: "no port from 0 to 65535" },
  { address: "tcp://[::1", says: "tcp://" },
];

for (const { address, says } of malformed) {
  Deno.test(`Node.listen() says what is wrong with the address "${address}"`, async () => {
    await using node = open();
    const error = await assertRejects(() => node.listen(address), TypeError);
    assertStringIncludes(error.message, `"${address}"`);
    assertStringIncludes(error.message, says);
  });

  Deno.test(`Node.join() says what is wrong with the address "${address}"`, async () => {
    await using node = open();
    const error = await assertRejects(() => node.join(address), TypeError);
    assertStringIncludes(error.message, `"${address}"`);
    assertStringIncludes(error.message, says);
  });
}

Deno.test("Node.join() and Node.listen() name the schemes that the node knows", async () => {
  await using node = open();
  const joining = await assertRejects(
    () => node.join("quic://127.0.0.1:7946"),
    TypeError,
  );
  assertStringIncludes(joining.message, 'Cannot join "quic://127.0.0.1:7946"');
  assertStringIncludes(joining.message, '"tcp://"');
  const listening = await assertRejects(
    () => node.listen("quic://127.0.0.1:0"),
    TypeError,
  );
  assertStringIncludes(listening.message, '"quic://127.0.0.1:0"');
  assertStringIncludes(listening.message, '"tcp://');
});

Deno.test("Node.join() says which name cannot be resolved, and goes on as the first node", async () => {
  const warnings: string[] = [];
  await using node = open({ ...silent, warn: (line) => warnings.push(line) });
  assertEquals(await node.join("tcp://nowhere.invalid:7946"), 0);
  assertEquals(warnings.length, 1);
  assertStringIncludes(
    warnings[0] ?? "",
    'Cannot connect to "tcp://nowhere.invalid:7946": ',
  );
  assertStringIncludes(warnings[0] ?? "", "it starts as the first of cluster");
});

Deno.test("Node.listen() says which name cannot be resolved", async () => {
  await using node = createNode({
    cluster: "errors",
    logger: silent,
    insecure: true,
  });
  const error = await assertRejects(
    () => node.listen("tcp://nowhere.invalid:0"),
    ConnectionError,
  );
  assertStringIncludes(
    error.message,
    'Cannot listen on "tcp://nowhere.invalid:0": ',
  );
});

Deno.test("Node.listen() says how to listen beyond loopback", async () => {
  await using node = open();
  const error = await assertRejects(
    () => node.listen("tcp://0.0.0.0:0"),
    Error,
  );
  assertStringIncludes(error.message, 'Cannot listen on "tcp://0.0.0.0:0": ');
  assertStringIncludes(error.message, "`insecure: true`");
});

// -- Data --

const cycle: { self?: unknown } = {};
cycle.self = { cycle };

/** Values that cannot be encoded, and what is said of them. */
const unencodable: readonly {
  readonly value: unknown;
  readonly says: string;
}[] = [
  {
    value: { user: { name: undefined } },
    says: "$.user.name: undefined is not data",
  },
  { value: [1, undefined], says: "$[1]: undefined is not data" },
  { value: { tags: [1, () => {}] }, says: "$.tags[1]: a function is not data" },
  { value: Symbol("s"), says: "$: a symbol is not data" },
  {
    value: { at: new Date(0) },
    says: "$.at: an instance of Date is not plain data",
  },
  {
    value: { all: new Map() },
    says: "$.all: an instance of Map is not plain data",
  },
  { value: { n: 2n ** 64n }, says: "$.n: " },
  { value: cycle, says: "$.self.cycle: a cycle is not data" },
];

for (const { value, says } of unencodable) {
  Deno.test(`Node says where a value cannot be encoded: ${says}`, async () => {
    await using node = open();
    for (
      const [call, what] of [
        [() => node.emit("anything", value), 'emit "anything"'],
        [() => node.send("me", "anything", value), 'send "anything"'],
        [() => node.request("me", "anything", value), 'request "anything"'],
      ] as const
    ) {
      const error = assertThrows(call, TypeError);
      assertStringIncludes(error.message, `Cannot ${what}`);
      assertStringIncludes(error.message, says);
    }
  });
}

Deno.test("Node says how long data may be that is too long for a message", async () => {
  await using node = open();
  const error = assertThrows(
    () => node.emit("anything", new Uint8Array(2 ** 20)),
    RangeError,
  );
  assertStringIncludes(error.message, 'Cannot emit "anything"');
  assertStringIncludes(error.message, "fit in a message");
});

Deno.test("Node goes on after a value that could not be encoded", async () => {
  await using node = open();
  node.on("anything", (value) => value);
  assertThrows(() => node.emit("anything", () => {}), TypeError);
  assertEquals(await node.request("me", "anything", [1, "two"]), [1, "two"]);
});

// -- Names and metadata --

Deno.test("createNode() says what is wrong with a name", () => {
  for (const cluster of ["", "x".repeat(65), "a\nb"]) {
    const error = assertThrows(
      () => createNode({ cluster, logger: silent }),
      TypeError,
    );
    assertStringIncludes(
      error.message,
      `the cluster ${JSON.stringify(cluster)}`,
    );
  }
  for (const id of ["", "x".repeat(65), "a b", "ä"]) {
    const error = assertThrows(
      () => createNode({ cluster: "errors", id, logger: silent }),
      TypeError,
    );
    assertStringIncludes(error.message, `the id ${JSON.stringify(id)}`);
    assertStringIncludes(error.message, "ASCII characters other than spaces");
  }
});

Deno.test("createNode() says what is wrong with metadata", () => {
  const tooLong = new Uint8Array(600);
  const error = assertThrows(
    () => createNode({ cluster: "errors", meta: tooLong, logger: silent }),
    RangeError,
  );
  assertStringIncludes(error.message, "at most 512");
  assertThrows(
    () =>
      createNode({ cluster: "errors", meta: { f: () => {} }, logger: silent }),
    TypeError,
    "$.f: a function is not data",
  );
});

Deno.test("Node.emit() says what is wrong with the name of an event", async () => {
  await using node = createNode({ cluster: "errors", logger: silent });
  assertThrows(
    () => node.emit("", 1),
    TypeError,
    'Cannot use "" as the name of an event: it is a text of 1 to 255 bytes',
  );
  assertThrows(
    () => node.emit("x".repeat(256), 1),
    TypeError,
    "more than 255 bytes",
  );
});
