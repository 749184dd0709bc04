import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  ConnectionError,
  type Transport,
  wrapTransport,
} from "@devts/transport";
import { FakeNetwork, pass, TestClock, turn } from "./_support_test.ts";
import { balance, type BalanceOptions } from "./balance.ts";
import { withPlugins } from "./with_plugins.ts";

const ADDRESSES = ["tcp://10.0.0.1:1", "quic://10.0.0.2:2", "tcp://10.0.0.3:3"];
const [FIRST = "", SECOND = "", THIRD = ""] = ADDRESSES;

/** Numbers from 0 to below 1, evenly spread (a Weyl sequence). */
function weyl(): () => number {
  let last = 0;
  return () => last = (last + 0.618_033_988_7) % 1;
}

function setUp(options: BalanceOptions = {}) {
  const clock = new TestClock();
  const network = new FakeNetwork();
  const transport = withPlugins(
    network.transport,
    balance({ entry: ADDRESSES }, {
      clock,
      random: weyl(),
      ...options,
    }),
  );
  return { clock, network, transport };
}

async function connect(transport: Transport): Promise<void> {
  await (await transport.connect("balance://entry")).close();
}

async function connects(transport: Transport, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await connect(transport);
}

Deno.test("balance() takes each address in turn, of any scheme", async () => {
  const { network, transport } = setUp();
  await using _network = network;
  assertEquals(transport.schemes, ["tcp", "quic", "balance"]);
  await connects(transport, 6);
  assertEquals(network.dialled, [...ADDRESSES, ...ADDRESSES]);
});

Deno.test("balance() takes any address at random", async () => {
  const { network, transport } = setUp({ strategy: "random" });
  await using _network = network;
  await connects(transport, 120);
  for (const address of ADDRESSES) {
    const count = network.dialled.filter((one) => one === address).length;
    assert(count > 20 && count < 60, `${address}: ${count}`);
  }
});

Deno.test("balance() takes the fastest address, once it has tried all", async () => {
  const { network, clock } = setUp();
  await using _network = network;
  const took: Record<string, number> = {
    [FIRST]: 30,
    [SECOND]: 10,
    [THIRD]: 20,
  };
  const slow = wrapTransport(network.transport, {
    async connect(address, options) {
      clock.tick(took[address] ?? 0);
      return await network.transport.connect(address, options);
    },
  });
  const transport = withPlugins(
    slow,
    balance({ entry: ADDRESSES }, { strategy: "least-latency", clock }),
  );
  await connects(transport, 5);
  assertEquals(network.dialled, [...ADDRESSES, SECOND, SECOND]);
  took[SECOND] = 100; // 10, then 37: slower than both others
  await connects(transport, 2);
  assertEquals(network.dialled.slice(-2), [SECOND, THIRD]);
});

Deno.test("balance() goes on to the next address, ejects one that fails, and brings it back", async () => {
  const { network, transport, clock } = setUp({
    failures: 2,
    ejection: 5_000,
  });
  await using _network = network;
  network.down.add(FIRST);
  await connects(transport, 3);
  assertEquals(network.dialled, [FIRST, SECOND, SECOND, THIRD]);
  network.dialled.length = 0;
  await connects(transport, 3); // the second failure ejects it
  assertEquals(network.dialled, [FIRST, SECOND, SECOND, THIRD]);
  network.dialled.length = 0;
  await connects(transport, 6);
  assert(!network.dialled.includes(FIRST));
  network.down.clear();
  clock.tick(5_000);
  network.dialled.length = 0;
  await connects(transport, 3);
  assertEquals(network.dialled, ADDRESSES);
});

Deno.test("balance() ejects for twice as long each time, and tries what is ejected where nothing else answers", async () => {
  const { network, transport, clock } = setUp({ failures: 1, ejection: 1_000 });
  await using _network = network;
  for (const address of ADDRESSES) network.down.add(address);
  await assertRejects(
    () => connect(transport),
    ConnectionError,
    'Cannot connect to "balance://entry": none of its addresses answers: ' +
      `Cannot connect to "${FIRST}": it is down; `,
  );
  network.down.delete(THIRD);
  await connect(transport); // although all are ejected
  clock.tick(1_999); // the others failed a second time
  network.dialled.length = 0;
  await connect(transport);
  assertEquals(network.dialled, [THIRD]);
  clock.tick(1);
  network.dialled.length = 0;
  await connects(transport, 2);
  assert(network.dialled.includes(FIRST) || network.dialled.includes(SECOND));
});

Deno.test("balance() does not wait for an address that is silent", async () => {
  const { network, transport, clock } = setUp({ timeout: 3_000 });
  await using _network = network;
  network.silent.add(FIRST);
  const connecting = connect(transport);
  await pass(clock, 2_999);
  assertEquals(network.dialled, [FIRST]);
  await pass(clock, 1);
  await connecting;
  assertEquals(network.dialled, [FIRST, SECOND]);
});

Deno.test("balance() gives up with its signal, and holds that against no address", async () => {
  const { network, transport } = setUp({ failures: 1 });
  await using _network = network;
  network.silent.add(FIRST);
  const controller = new AbortController();
  const connecting = transport.connect("balance://entry", {
    signal: controller.signal,
  });
  await turn();
  controller.abort(new Error("enough"));
  await assertRejects(() => connecting, Error, "enough");
  network.silent.clear();
  network.dialled.length = 0;
  await connects(transport, 3);
  assertEquals(network.dialled, [SECOND, THIRD, FIRST]);
});

Deno.test("balance() leaves other addresses alone, and explains itself", async () => {
  const { network, transport } = setUp();
  await using _network = network;
  await (await transport.connect(THIRD)).close();
  assertEquals(network.dialled, [THIRD]);
  await assertRejects(
    () => transport.connect("balance://other"),
    TypeError,
    'Cannot connect to "balance://other": known are "balance://entry"',
  );
  await assertRejects(() => transport.listen("balance://entry"), TypeError);
  assertThrows(() => balance({ none: [] }), TypeError, '"none"');
  assertThrows(() => balance({ loop: ["balance://loop"] }), TypeError);
});
