import { createNode, type Node, type NodeOptions } from "@devts/devts";
import type { Plugin } from "@devts/plugins";
import type { Protocol } from "@devts/protocol";
import { Keyring } from "@devts/protocol/keyring";
import { createSecret } from "@devts/protocol/secret";
import { trusted } from "@devts/protocol/trusted";
import {
  type Transport,
  wrapConnection,
  wrapTransport,
} from "@devts/transport";
import { secretCredentials } from "@devts/transport/certificates";
import { memory } from "@devts/transport/memory";
import { quic } from "@devts/transport/quic";
import { tcp } from "@devts/transport/tcp";
import type { Measurement, Row } from "../runner.ts";

/** How long either end may take to say why, in ms. */
const PATIENCE = 30_000;

/** An end of a connection that comes to nothing. */
interface End {
  readonly options: Partial<NodeOptions>;
  /** What its log must say. */
  readonly says: RegExp;
}

/** Two that must refuse each other. */
interface Case {
  readonly what: string;
  readonly address: string;
  readonly member: End;
  readonly stranger: End;
  /** Who dials. */
  readonly dials: "stranger" | "member";
}

/** Everybody who must not get in. */
export const refusals: Row = {
  what:
    "wrong secret, none, wrong cluster, wrong version, expired or foreign certificate",
  target:
    "refused at both ends, with a reason in both logs, and none to the stranger",
  async measure({ progress }): Promise<Measurement> {
    const faults: string[] = [];
    const all = cases();
    for (const one of all) {
      progress(one.what);
      const fault = await faultOf(one);
      if (fault !== null) faults.push(`${one.what}: ${fault}`);
    }
    const figure = `${all.length - faults.length} of ${all.length} refused so` +
      (faults.length > 0 ? `; ${faults.join("; ")}` : "");
    return { figure, held: faults.length === 0 };
  },
};

function cases(): readonly Case[] {
  const secret = createSecret();
  const other = createSecret();
  const local = memory();
  const overTcp = { address: "tcp://127.0.0.1:0", dials: "stranger" } as const;
  const inMemory = { address: "memory://home", dials: "stranger" } as const;
  const inLocal = { transport: local };
  const silent = /the acceptor said nothing and closed/;
  const unknown = /the dialer knows no secret of this node's cluster/;
  const certificate =
    /another secret than this node, or belongs to another cluster/;
  const alert = /refused a connection from .*(?:alert|certificate)/i;
  return [
    {
      ...overTcp,
      what: "another secret, over TLS",
      member: { options: { secret }, says: alert },
      stranger: { options: { secret: other }, says: certificate },
    },
    {
      what: "another secret, over QUIC",
      address: "quic://127.0.0.1:0",
      dials: "stranger",
      member: {
        options: { secret, transport: quic() },
        says: /refused a stranger's connection: .*(?:certificate|error 48)/,
      },
      stranger: {
        options: { secret: other, transport: quic() },
        says: certificate,
      },
    },
    {
      ...inMemory,
      what: "another secret, in the handshake",
      member: { options: { secret, ...inLocal }, says: unknown },
      stranger: { options: { secret: other, ...inLocal }, says: silent },
    },
    {
      ...overTcp,
      what: "no secret, over TLS",
      member: { options: { secret }, says: /it does not encrypt/ },
      stranger: {
        options: {},
        says:
          /it encrypts, and this node does not; create this node with the `secret`/,
      },
    },
    {
      ...inMemory,
      what: "no secret, in the handshake",
      member: { options: { secret, ...inLocal }, says: unknown },
      stranger: {
        options: { ...inLocal },
        says: /without a word: its cluster may have a `secret`/,
      },
    },
    {
      ...overTcp,
      what: "the secret of another cluster",
      member: { options: { secret }, says: alert },
      stranger: { options: { secret, cluster: "blue" }, says: certificate },
    },
    {
      ...inMemory,
      what: "another version",
      member: { options: { secret, ...inLocal }, says: unknown },
      stranger: {
        options: { protocol: ofLaterVersion(secret), ...inLocal },
        says: silent,
      },
    },
    {
      ...overTcp,
      what: "an expired certificate",
      dials: "member",
      member: { options: { secret }, says: /its certificate has expired/ },
      stranger: {
        options: { secret, transport: by(secret, -60_000) },
        says: alert,
      },
    },
    {
      ...overTcp,
      what: "a foreign certificate",
      dials: "member",
      member: { options: { secret }, says: certificate },
      stranger: { options: { secret, transport: by(other) }, says: alert },
    },
  ];
}

/** TCP that shows a certificate of its own choice, once made. */
function by(secret: Uint8Array, lifetime?: number): Transport {
  const made = secretCredentials({
    ...{ id: "stranger", cluster: "demo" },
    ...(lifetime === undefined ? {} : { lifetime }),
    secrets: () => Promise.resolve([secret]),
  }).current();
  const secured = tcp().secure({
    current: () => made,
    serverName: () => "any.devts.internal",
    onChange: () => ({ [Symbol.dispose]() {} }),
  });
  // Not one that the node would secure by its own certificate.
  return wrapTransport(secured, {});
}

/** The protocol of a node that speaks versions 2 to 3, and knows the secret. */
function ofLaterVersion(secret: Uint8Array): Protocol {
  const protocol = trusted({ keyring: new Keyring(secret), now: Date.now });
  const versionsAt = protocol.headerSize + "DVTS".length;
  return {
    ...protocol,
    introduce: (channel, options) =>
      protocol.introduce({
        receive: (options) => channel.receive(options),
        send: (message) => {
          const later = message.slice();
          later.set([2, 3], versionsAt);
          return channel.send(later);
        },
      }, options),
  };
}

/** What went otherwise than it must, or `null`. */
async function faultOf(
  { address, member, stranger, dials }: Case,
): Promise<string | null> {
  const heard = { messages: 0 };
  const one = nodeOf("member", member.options, []);
  const two = nodeOf("stranger", stranger.options, [counting(heard)]);
  await using acceptor = dials === "stranger" ? one.node : two.node;
  await using dialer = dials === "stranger" ? two.node : one.node;
  const at = await acceptor.listen(address);
  try {
    await dialer.join(at);
  } catch (error) {
    (dials === "stranger" ? two : one).lines.push(String(error));
  }
  await until(() => says(one.lines, member) && says(two.lines, stranger));
  const { size } = one.node.members;
  if (size + two.node.members.size > 0) return "it was let in";
  if (heard.messages > 0) {
    return `the stranger heard ${heard.messages} messages`;
  }
  if (!says(one.lines, member)) {
    return `the member said ${one.lines.join(" / ")}`;
  }
  if (!says(two.lines, stranger)) {
    return `the stranger's log said ${two.lines.join(" / ")}`;
  }
  return null;
}

function says(lines: readonly string[], { says }: End): boolean {
  return lines.some((line) => says.test(line));
}

function nodeOf(
  id: string,
  options: Partial<NodeOptions>,
  plugins: readonly Plugin[],
): { node: Node; lines: string[] } {
  const lines: string[] = [];
  const log = (line: string): void => void lines.push(line);
  const logger = { debug: log, info: log, warn: log, error: log };
  const node = createNode({ cluster: "demo", id, logger, plugins, ...options });
  return { node, lines };
}

/** Counts the messages that come. */
function counting(heard: { messages: number }): Plugin {
  return (transport) =>
    wrapTransport(transport, {
      connection: (connection) =>
        wrapConnection(connection, {
          receive: async (options) => {
            const message = await connection.receive(options);
            if (message !== null) heard.messages++;
            return message;
          },
        }),
    });
}

async function until(condition: () => boolean): Promise<void> {
  const end = performance.now() + PATIENCE;
  while (!condition() && performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
