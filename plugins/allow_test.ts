import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  ConnectionError,
  type Transport,
  wrapTransport,
} from "@devts/transport";
import { memory } from "@devts/transport/memory";
import { tcp } from "@devts/transport/tcp";
import { accept, FakeNetwork } from "./_support_test.ts";
import { allow, deny } from "./allow.ts";
import { withPlugins } from "./with_plugins.ts";

/** Whether each address may be dialled. */
async function dialled(
  transport: Transport,
  hosts: readonly string[],
): Promise<boolean[]> {
  const answers: boolean[] = [];
  for (const host of hosts) {
    try {
      await (await transport.connect(`tcp://${host}:7946`)).close();
      answers.push(true);
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      answers.push(false);
    }
  }
  return answers;
}

const CASES: readonly (readonly [
  entry: string,
  inside: readonly string[],
  outside: readonly string[],
])[] = [
  ["10.0.0.0/8", ["10.0.0.0", "10.255.255.255", "[::ffff:10.1.2.3]"], [
    ...["9.255.255.255", "11.0.0.0", "[::10.0.0.1]", "ten", "[fd00::1]"],
  ]],
  ["192.168.4.0/22", ["192.168.4.0", "192.168.7.255"], [
    ...["192.168.3.255", "192.168.8.0"],
  ]],
  ["192.0.2.1", ["192.0.2.1"], ["192.0.2.2", "192.0.2.10"]],
  ["0.0.0.0/0", ["0.0.0.0", "255.255.255.255"], ["[::1]", "name"]],
  ["fd00::/8", ["[fd00::1]", "[fdff:ffff::]", "[FD12::1%eth0]"], [
    ...["[fc00::1]", "[fe80::1]", "10.0.0.1"],
  ]],
  ["2001:db8::/33", ["[2001:db8:7fff::1]"], ["[2001:db8:8000::1]"]],
  ["::1", ["[::1]", "[0:0:0:0:0:0:0:1]"], ["[::2]", "127.0.0.1"]],
  ["::/0", ["[::1]", "[ffff::]"], ["1.2.3.4"]],
  ["::ffff:10.0.0.0/104", ["[::ffff:10.0.0.1]", "10.1.2.3"], ["11.0.0.0"]],
  ["node-1", ["node-1", "NODE-1"], ["node-10", "node-1.example.com"]],
  ["*.example.com", ["a.example.com", "b.a.example.com"], [
    ...["example.com", "aexample.com", "example.com.evil"],
  ]],
];

for (const [entry, inside, outside] of CASES) {
  Deno.test(`allow() of ${entry} dials what is in it, and nothing else`, async () => {
    await using network = new FakeNetwork();
    const transport = withPlugins(network.transport, allow([entry]));
    assertEquals(await dialled(transport, inside), inside.map(() => true));
    assertEquals(await dialled(transport, outside), outside.map(() => false));
    assertEquals(network.dialled.length, inside.length);
  });
}

Deno.test("allow() refuses entries that make no sense", () => {
  for (
    const entry of [
      ...["", "10.0.0.0/33", "10.0.0", "256.0.0.1", "010.0.0.1", "fd00::/129"],
      ...[
        "1:2:3",
        "::1::",
        "a b",
        "*",
        "*.*",
        "10.0.0.0/8/9",
        "12345::",
        "::ffff:10.0.0.0/8",
      ],
    ]
  ) assertThrows(() => allow([entry]), TypeError, "Cannot use");
});

Deno.test("allow() takes addresses in unusual forms for none", async () => {
  await using network = new FakeNetwork();
  const transport = withPlugins(network.transport, allow(["0.0.0.0/0"]));
  assertEquals(
    await dialled(transport, ["2130706433", "0x7f.1", "127.1", "010.0.0.1"]),
    [false, false, false, false],
  );
});

Deno.test("deny() dials what is not in its list, and names only when asked to", async () => {
  await using network = new FakeNetwork();
  const hosts = ["10.0.0.1", "192.0.2.1", "node-1", "[fd00::1]", "[::1]"];
  const list = ["10.0.0.0/8", "fd00::/8"];
  assertEquals(
    await dialled(withPlugins(network.transport, deny(list)), hosts),
    [false, true, false, false, true],
  );
  const named = deny(list, { names: true });
  assertEquals(
    await dialled(withPlugins(network.transport, named), hosts),
    [false, true, true, false, true],
  );
});

Deno.test("allow() says what it refuses, and why to the program", async () => {
  await using network = new FakeNetwork();
  const refused: unknown[] = [];
  const transport = withPlugins(
    network.transport,
    allow(["10.0.0.0/8"], { refused: (...what) => refused.push(what) }),
  );
  await assertRejects(
    () => transport.connect("tcp://192.0.2.1:7946"),
    ConnectionError,
    'Cannot connect to "tcp://192.0.2.1:7946": this node may not dial it',
  );
  assertEquals(refused, [["tcp://192.0.2.1:7946", "dialer"]]);
});

Deno.test("deny() closes connections from there before it receives anything, and goes on accepting", async () => {
  const inner = tcp();
  const refused: string[] = [];
  let denies = true;
  // What is denied changes: the test has no second address to come from.
  const plugin = deny(["127.0.0.1"], {
    refused: (_, role) => refused.push(role),
  });
  const guarded = wrapTransport(inner, {
    connection(connection, role) {
      if (role === "acceptor" && denies) throw new Error("not yet");
      return connection;
    },
  });
  await using open = await guarded.listen("tcp://127.0.0.1:0");
  await using shut = await withPlugins(inner, plugin).listen(
    "tcp://127.0.0.1:0",
  );
  const accepting = accept(shut);
  await using stranger = await inner.connect(shut.address);
  await stranger.send(new Uint8Array(3)).catch(() => {}); // may come too late
  const end = await stranger.receive().catch(() => null);
  assertEquals(end, null);
  assertEquals(refused, ["acceptor"]);
  denies = false;
  const [dialled, accepted] = await Promise.all([
    inner.connect(open.address),
    accept(open),
  ]);
  await Promise.all([dialled.close(), accepted.close()]);
  await shut.close();
  await assertRejects(() => accepting, Error, "closed");
});

Deno.test("allow() refuses accepted connections whose address nobody knows", async () => {
  const transport = withPlugins(memory(), allow(["10.0.0.0/8"]));
  await using listener = await transport.listen("memory://inbox");
  await assertRejects(() => transport.connect(listener.address));
});
