import { assertEquals, assertThrows } from "@std/assert";
import { type Reach, reachOf, reachOfRemote } from "./address.ts";

const REACHES: Readonly<Record<Reach, readonly string[]>> = {
  wildcard: [
    "tcp://0.0.0.0:7946",
    "tcp://0.0.0.0:0",
    "tcp://0:80",
    "tcp://0.0:80",
    "tcp://000.000.000.000:80",
    "tcp://[::]:7946",
    "tcp://[0:0:0:0:0:0:0:0]:7946",
    "tcp://[0000::0000]:7946",
    "tcp://[::ffff:0.0.0.0]:7946",
    "tcp://[::ffff:0:0]:7946",
    "tls://0.0.0.0:7946",
    "quic://[::]:7946",
    "ws://0.0.0.0:80/path",
    "ws://0.0.0.0/path",
    "TCP://0.0.0.0:80",
  ],
  local: [
    "tcp://[::ffff:7f00:1]:7946",
    "tcp://127.0.0.1:7946",
    "tcp://127.255.0.3:0",
    "tcp://localhost:7946",
    "tcp://LOCALHOST:7946",
    "tcp://node.localhost:7946",
    "tcp://[::1]:7946",
    "tcp://[0:0:0:0:0:0:0:1]:7946",
    "tcp://[0000:0000:0000:0000:0000:0000:0000:0001]:7946",
    "tcp://[::ffff:127.0.0.1]:7946",
    "ws://127.0.0.1/path",
    "memory://node",
    "memory://0",
    "unix:///run/node.sock",
  ],
  network: [
    "stcp://example.com",
    "stcp://0x0",
    "tcp://10.0.0.7:7946",
    "tcp://192.168.1.1:0",
    "tcp://128.0.0.1:7946",
    "tcp://1.0.0.127:7946",
    "tcp://1:7946",
    "tcp://127.0.0.1.example.org:7946",
    "tcp://localhost.example.org:7946",
    "tcp://node.example.org:7946",
    "tcp://[fe80::1]:7946",
    "tcp://[2001:db8::1]:7946",
    "tcp://[::ffff:10.0.0.1]:7946",
    "tcp://[1::]:7946",
    "tcp://[1::1]:7946",
    "ws://example.org/path",
    "wss://example.org/",
  ],
};

for (const [reach, addresses] of Object.entries(REACHES)) {
  Deno.test(`reachOf() finds these addresses to be ${reach}`, () => {
    for (const address of addresses) {
      assertEquals(reachOf(address), reach, address);
    }
  });
}

Deno.test("reachOf() takes no unusual spelling of a wildcard for local", () => {
  for (
    const address of [
      "tcp://:7946",
      "tcp://0.0.0.0:7946?x",
      "tcp://0.0.0.0:7946#x",
      "tcp://0.0.0.0:+7946",
      "tcp://0.0.0.0:7946 ",
      "tcp://0x0:7946",
      "tcp://0x00.0.0.0:7946",
      "tcp://user@0.0.0.0:7946",
      "tcp://[::ffff:0:0]:7946",
      "tcp://[::%lo]:7946",
      "tcp://[::]",
      "tcp://0.0.0.0",
      "udp://0.0.0.0",
    ]
  ) {
    let reach = "refused";
    try {
      reach = reachOf(address);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
    }
    if (reach === "local") throw new Error(`"${address}" counts as local`);
  }
});

Deno.test("reachOf() refuses what is no URL", () => {
  for (
    const text of ["", "7946", "127.0.0.1:7946", "tcp:/x", "://x", "1x://y"]
  ) {
    assertThrows(() => reachOf(text), TypeError, "write it as a URL");
  }
});

Deno.test("reachOfRemote() takes what is no URL for an address of the network", () => {
  assertEquals(reachOfRemote("nonsense"), "network");
  assertEquals(reachOfRemote("tcp://127.0.0.1:1"), "local");
});
