import { assert, assertEquals } from "@std/assert";
import { dialFault, listenFault, riskOf, type Security } from "./security.ts";

const security: Security = {
  encrypted: ["tcp", "quic", "wss"],
  plaintext: false,
  exact: false,
  keyring: null,
};
const NOTHING = { security: null, insecure: false };
const SECURED = { security, insecure: false };
const PLAIN = { security: { ...security, plaintext: true }, insecure: false };
const INSECURE = { security: null, insecure: true };

const LOCAL = [
  "tcp://127.0.0.1:0",
  "tcp://127.200.3.4:7946",
  "tcp://[::1]:0",
  "tcp://[0:0:0:0:0:0:0:1]:0",
  "tcp://[::ffff:127.0.0.1]:0",
  "tcp://localhost:7946",
  "tcp://node.localhost:7946",
  "ws://127.0.0.1:80/",
  "memory://name",
  "unix:///run/devts.sock",
];
const OPEN = [
  "tcp://0.0.0.0:0",
  "tcp://[::]:0",
  "tcp://0:0",
  "tcp://[::ffff:0.0.0.0]:0",
  "tcp://10.0.0.7:7946",
  "tcp://192.168.1.1:7946",
  "tcp://[fe80::1]:0",
  "tcp://[2001:db8::1]:0",
  "tcp://[::ffff:10.0.0.1]:0",
  "tcp://example.org:7946",
  "tcp://localhost.example.org:7946",
  "tcp://127.0.0.1.example.org:7946",
  "tcp://2130706433:7946",
  "tcp://0x7f000001:7946",
  "tcp://:7946",
  "quic://0.0.0.0:7946",
];
const UNENCRYPTED = ["ws://0.0.0.0:80/", "ws://10.0.0.7/", "other://10.0.0.7"];

Deno.test("listenFault() refuses what is not loopback, without a secret, and says how to go on", () => {
  for (const address of LOCAL) {
    assertEquals(listenFault(address, NOTHING), null);
  }
  for (const address of [...OPEN, ...UNENCRYPTED]) {
    const fault = listenFault(address, NOTHING) ?? "";
    assert(fault.includes("`secret`"), address);
    assert(fault.includes("127.0.0.1"), address);
    assert(fault.includes("`insecure: true`"), address);
    assertEquals(listenFault(address, INSECURE), null);
    assert(riskOf(address, INSECURE)?.includes("`insecure` is set"), address);
  }
});

Deno.test("listenFault() and dialFault() refuse plain text, with a secret", () => {
  for (const address of [...LOCAL, ...OPEN]) {
    assertEquals(listenFault(address, SECURED), null, address);
    assertEquals(dialFault(address, SECURED), null, address);
    assertEquals(riskOf(address, SECURED), null, address);
  }
  for (const address of UNENCRYPTED) {
    for (const faultOf of [listenFault, dialFault]) {
      const fault = faultOf(address, SECURED) ?? "";
      assert(fault.includes("`plaintext: true`"), address);
      assert(fault.includes("tcp://, quic://, wss://"), address);
      assertEquals(faultOf(address, PLAIN), null);
    }
    assert(riskOf(address, PLAIN)?.includes("`plaintext` is set"), address);
  }
});

Deno.test("dialFault() lets a node without a secret dial wherever it is told to", () => {
  for (const address of [...LOCAL, ...OPEN, ...UNENCRYPTED]) {
    assertEquals(dialFault(address, NOTHING), null);
  }
});
