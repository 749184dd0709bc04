import { assertEquals, assertThrows } from "@std/assert";
import { parseHostPort, withPort } from "./_address.ts";

Deno.test("parseHostPort() reads names, IPv4 and IPv6", () => {
  const cases: [string, string, number][] = [
    ["tcp://127.0.0.1:0", "127.0.0.1", 0],
    ["tcp://node-1.example.org:7946", "node-1.example.org", 7946],
    ["tcp://[::1]:65535", "::1", 65535],
    ["tcp://[fe80::1%eth0]:1", "fe80::1%eth0", 1],
  ];
  for (const [address, hostname, port] of cases) {
    assertEquals(parseHostPort(address, "tcp"), { hostname, port });
  }
});

Deno.test("parseHostPort() says what is wrong and shows the right form", () => {
  const cases: [string, string][] = [
    ["", "does not start with"],
    ["udp://a:1", "does not start with"],
    ["TCP://a:1", "does not start with"],
    ["tcp://", "port is missing"],
    ["tcp://a", "port is missing"],
    ["tcp://[::1]", "port is missing"],
    ["tcp://:1", "host is missing"],
    ["tcp://::1:1", "in brackets"],
    ["tcp://[a]:1", "is no host"],
    ["tcp://user@a:1", "is no host"],
    ["tcp://a b:1", "is no host"],
    ["tcp://a:1/path", "is no port"],
    ["tcp://a:", "is no port"],
    ["tcp://a:-1", "is no port"],
    ["tcp://a:65536", "is no port"],
    ["tcp://a:1e3", "is no port"],
  ];
  for (const [address, detail] of cases) {
    const error = assertThrows(() => parseHostPort(address, "tcp"), TypeError);
    for (const part of [`"${address}"`, detail, "tcp://127.0.0.1:7946"]) {
      assertEquals(error.message.includes(part), true, error.message);
    }
  }
});

Deno.test("withPort() keeps the host as it was given", () => {
  assertEquals(withPort("tcp://localhost:0", 5), "tcp://localhost:5");
  assertEquals(withPort("tcp://[::1]:0", 5), "tcp://[::1]:5");
});
