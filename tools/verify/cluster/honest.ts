import { createNode, type Node } from "@devts/devts";
import {
  type Transport,
  wrapConnection,
  wrapTransport,
} from "@devts/transport";
import { tcp } from "@devts/transport/tcp";
import type { Corpus } from "./mutate.ts";
import { quiet } from "../../../bench/serve.ts";

/** How many nodes converse at the same time, in pairs. */
const PAIRS = 8;
const KEPT = 500;
const LONGEST = 4_096;
const FIRST_FRAME = 0x10;

interface Events {
  echo(value: unknown): unknown;
  other(value: unknown): void;
}

/**
 * Lets honest nodes join the one at an address, talk to it and to each other, and
 * leave, `rounds` times. Keeps some of what they send.
 */
export async function converse(
  address: string,
  rounds: number,
): Promise<Corpus> {
  const handshake: Uint8Array[] = [];
  const frames: Uint8Array[] = [];
  const transport = overheard((message) => {
    const kept = (message[0] ?? 0) >= FIRST_FRAME ? frames : handshake;
    if (kept.length < KEPT && message.length < LONGEST) {
      kept.push(message.slice());
    }
  });
  for (let round = 0; round < rounds; round++) {
    await Promise.all(
      Array.from({ length: PAIRS }, () => visit(address, transport, round)),
    );
  }
  return { handshake, frames };
}

function overheard(hear: (message: Uint8Array) => void): Transport {
  return wrapTransport(tcp(), {
    connection: (connection) =>
      wrapConnection(connection, {
        send(message) {
          hear(message);
          return connection.send(message);
        },
      }),
  });
}

async function visit(
  address: string,
  transport: Transport,
  round: number,
): Promise<void> {
  await using one = await enter(address, transport, {
    round,
    text: "x".repeat(10 * round),
  });
  await using two = await enter(address, transport, undefined);
  one.on("echo", (value) => value);
  for (let i = 0; i < 50; i++) {
    const value = {
      round,
      list: [1, -1, 2 ** 40, 1.5, null, true],
      bytes: new Uint8Array(i ** 3 / 2),
      text: "ä".repeat(i),
    };
    await one.emit("other", value);
    await one.request("target", "echo", value);
    await two.send("target", "other", i);
    if (two.members.has(one.id)) {
      await two.send(one.id, "echo", value).catch(() => {});
    }
  }
  one.update({ round });
}

async function enter(
  address: string,
  transport: Transport,
  meta: unknown,
): Promise<Node<Events>> {
  const node = createNode<Events>({
    cluster: "verify",
    transport,
    meta,
    logger: quiet,
  });
  await node.listen("tcp://127.0.0.1:0");
  await node.join(address);
  return node;
}
