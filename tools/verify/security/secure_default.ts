import { createNode } from "@devts/devts";
import { createSecret } from "@devts/protocol/secret";
import { combine } from "@devts/transport";
import { tcp } from "@devts/transport/tcp";
import { websocket } from "@devts/transport/websocket";
import type { Measurement, Row } from "../runner.ts";

/** Addresses that others can reach, in all forms. */
const OPEN = [
  "tcp://0.0.0.0:0",
  "tcp://0:0",
  "tcp://[::]:0",
  "tcp://[0:0:0:0:0:0:0:0]:0",
  "tcp://[::ffff:0.0.0.0]:0",
  "tcp://[::ffff:10.0.0.1]:0",
  "tcp://10.0.0.7:0",
  "tcp://192.168.1.1:0",
  "tcp://172.16.0.1:0",
  "tcp://[fe80::1]:0",
  "tcp://[2001:db8::1]:0",
  "tcp://example.org:0",
  "tcp://localhost.example.org:0",
  "tcp://2130706433:0",
  "ws://0.0.0.0:0/",
];
/** What is not encrypted, where a secret is. */
const PLAIN = ["ws://0.0.0.0:0/", "ws://10.0.0.7:0/"];
const LOCAL = ["tcp://127.0.0.1:0", "tcp://localhost:0", "ws://127.0.0.1:0/"];

/** What a node without a secret listens on. */
export const secureDefault: Row = {
  what: "addresses that a node listens on by default",
  target:
    `refused with the remedy: ${OPEN.length} that are not loopback without a secret, ${PLAIN.length} without encryption with one; ${LOCAL.length} on loopback need nothing`,
  measure,
};

async function measure(): Promise<Measurement> {
  const faults: string[] = [];
  const logger = { debug() {}, info() {}, warn() {}, error() {} };
  const options = { cluster: "demo", logger };
  const transport = () => combine(tcp(), websocket());
  await using plain = createNode({ ...options, transport: transport() });
  await using secured = createNode({
    ...{ ...options, transport: transport(), secret: createSecret() },
  });
  const refuses = async (
    node: typeof plain,
    address: string,
    remedy: string,
  ): Promise<void> => {
    try {
      await node.listen(address);
      faults.push(`${address} was listened on`);
    } catch (error) {
      if (!String(error).includes(remedy)) faults.push(`${address}: ${error}`);
    }
  };
  for (const address of OPEN) await refuses(plain, address, "`secret`");
  for (const address of PLAIN) {
    await refuses(secured, address, "`plaintext: true`");
  }
  for (const address of LOCAL) {
    for (const node of [plain, secured]) await node.listen(address);
  }
  const figure = `${OPEN.length + PLAIN.length} refused, ${LOCAL.length} not` +
    (faults.length > 0 ? `; ${faults.join("; ")}` : "");
  return { figure, held: faults.length === 0 };
}
