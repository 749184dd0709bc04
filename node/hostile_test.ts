import { createNode, type Logger, Node, nodeParts } from "@devts/devts";
import type { FrameKind } from "@devts/protocol";
import { msgpackr } from "@devts/protocol/msgpackr";
import { v1 } from "@devts/protocol/v1";
import { systemClock } from "@devts/routing/clock";
import { VirtualClock } from "@devts/routing/testing";
import { frame } from "@devts/transport";
import { assert, assertEquals, assertMatch } from "@std/assert";

const CLUSTER = "hostile";
const MAX_MESSAGE = 1024 ** 2;
const HANDSHAKE_TIMEOUT = 5_000;

const protocol = v1();

interface Events {
  echo(value: unknown): unknown;
}

/** Bytes as they go over the wire: the length, then the message. */
function framed(message: Uint8Array | readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4 + message.length);
  new DataView(bytes.buffer).setUint32(0, message.length);
  bytes.set(message, 4);
  return bytes;
}

/** A frame after the handshake, as it goes over the wire. */
function sent(kind: FrameKind, body: readonly number[]): Uint8Array {
  const message = new Uint8Array(protocol.headerSize + body.length);
  protocol.writeHeader(kind, message);
  message.set(body, protocol.headerSize);
  return framed(message);
}

/** A bundle with one event "echo", whose data is announced to be `length` bytes. */
function echo(data: readonly number[], length = data.length): number[] {
  const name = new TextEncoder().encode("echo");
  const size = [length >>> 24, length >>> 16, length >>> 8, length].map((
    byte,
  ) => byte & 0xff);
  return [1, 0, 0, 254, ...size, name.length, ...name, ...data];
}

/** The hello of an honest node. */
async function hello(): Promise<Uint8Array> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array>();
  const introduced = introduce({
    send(message) {
      resolve(message.slice());
      return Promise.resolve();
    },
    receive: () => Promise.resolve(null),
  });
  const message = await promise;
  await introduced.catch(() => {}); // nobody answers it
  return message;
}

function introduce(
  channel: Parameters<typeof protocol.introduce>[0],
): Promise<unknown> {
  return protocol.introduce(channel, {
    role: "dialer",
    self: () => ({
      cluster: CLUSTER,
      id: "mallory",
      incarnation: Date.now() * 4096,
      format: "msgpack",
      addresses: [],
      meta: new Uint8Array(),
      maxMessage: MAX_MESSAGE,
    }),
    admit: () => null,
  });
}

/** A live node with an honest client beside it, and a connection of a stranger. */
class Scene implements AsyncDisposable {
  readonly clock = new VirtualClock();
  readonly client = createNode<Events>({
    cluster: CLUSTER,
    id: "client",
    logger: silent,
  });
  readonly node: Node<Events>;
  readonly #lines: string[] = [];
  #conn: Deno.TcpConn | null = null;

  private constructor() {
    const note = (line: string): void => void this.#lines.push(line);
    const { soon } = systemClock();
    this.node = new Node<Events>({
      ...nodeParts({
        cluster: CLUSTER,
        id: "live",
        logger: { debug: () => {}, info: () => {}, warn: note, error: note },
      }),
      clock: {
        now: () => this.clock.now(),
        after: (delay, callback) => this.clock.after(delay, callback),
        soon,
      },
    });
    this.node.on("echo", (value) => value);
  }

  static async open(): Promise<Scene> {
    const scene = new Scene();
    const address = await scene.node.listen("tcp://127.0.0.1:0");
    assertEquals(await scene.client.join(address), 1);
    scene.#conn = await Deno.connect({
      hostname: "127.0.0.1",
      port: Number(address.slice(address.lastIndexOf(":") + 1)),
    });
    scene.#conn.setNoDelay(true);
    return scene;
  }

  /** The stranger's end. */
  get conn(): Deno.TcpConn {
    if (this.#conn === null) throw new TypeError("There is no connection yet");
    return this.#conn;
  }

  /** Takes the handshake as an honest node does. */
  async introduce(): Promise<void> {
    const { conn } = this;
    const stream = {
      read: (buffer: Uint8Array) => conn.read(buffer),
      write: (bytes: Uint8Array) => conn.write(bytes),
      close: () => {},
    };
    await introduce(frame(stream, { remote: "tcp://live" }));
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let start = 0; start < bytes.length;) {
      start += await this.conn.write(bytes.subarray(start));
    }
  }

  /** Resolves once the node has closed the stranger's connection. */
  async closed(): Promise<void> {
    const buffer = new Uint8Array(4096);
    try {
      while (await this.conn.read(buffer) !== null);
    } catch {
      // Reset: the node has closed it, too.
    }
  }

  /** The node has logged one line, that this connection ended, and why. */
  assertLogged(reason: RegExp): void {
    assertMatch(this.#lines.join("\n"), reason);
    assertEquals(this.#lines.length, 1);
  }

  /** The honest client has the link that it had, and is served. */
  async assertServed(): Promise<void> {
    assertEquals(
      await this.client.request("live", "echo", "still there"),
      "still there",
    );
    assert(this.node.members.has("client"));
    assert(this.client.members.has("live"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#conn?.close();
    await this.client.close();
    await this.node.close();
  }
}

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/** What a stranger sends, and what the node says of it. */
interface Case {
  readonly what: string;
  readonly bytes: Uint8Array | (() => Promise<Uint8Array>);
  /** Closes its own direction after that. */
  readonly ends?: boolean;
  /** It breaks the connection, below the protocol. */
  readonly breaks?: boolean;
  readonly reason: RegExp;
}

// -- In the handshake --

async function helloWithBody(body: readonly number[]): Promise<Uint8Array> {
  const prefix = (await hello()).subarray(0, protocol.headerSize + 6);
  return framed([...prefix, ...body]);
}

const inHandshake: readonly Case[] = [
  {
    what: "an oversized length",
    bytes: Uint8Array.of(0xff, 0xff, 0xff, 0xff),
    reason: /has at most 4096/,
  },
  {
    what: "a length over that of the handshake",
    bytes: framed(new Uint8Array(5000)),
    reason: /has at most 4096/,
  },
  {
    what: "a truncated frame",
    bytes: Uint8Array.of(0, 0, 0, 100, 1, 0, 0, 0),
    ends: true,
    reason: /ended within a message/,
  },
  {
    what: "a request of HTTP",
    bytes: new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"),
    reason: /has at most 4096/,
  },
  {
    what: "garbage",
    bytes: framed(Uint8Array.from({ length: 200 }, (_, i) => i * 151 + 7)),
    reason: /expected a hello, but a frame of unknown type/,
  },
  {
    what: "an empty message",
    bytes: framed([]),
    reason: /expected a hello, but a message of 0 bytes/,
  },
  {
    what: "an unknown frame type",
    bytes: framed([0x7f, 0, 0, 0]),
    reason: /unknown type \(0x7f\)/,
  },
  {
    what: "data before the handshake",
    bytes: sent("data", echo([1])),
    reason: /expected a hello, but a data frame/,
  },
  {
    what: "a hello of nested MessagePack",
    bytes: () => helloWithBody(new Array(3000).fill(0x91)),
    reason: /the hello: its body is no MessagePack/,
  },
  {
    what: "a hello of lying MessagePack",
    bytes: () => helloWithBody([0xdf, 0xff, 0xff, 0xff, 0xff]),
    reason: /the hello: its body is no MessagePack/,
  },
  {
    what: "a second hello in place of a proof",
    bytes: async () => {
      const message = framed(await hello());
      return Uint8Array.of(...message, ...message);
    },
    reason: /expected a proof or a refusal, but a hello frame/,
  },
];

for (const { what, bytes, ends, reason } of inHandshake) {
  Deno.test(`Node refuses a stranger who sends ${what}`, async () => {
    await using scene = await Scene.open();
    await scene.write(typeof bytes === "function" ? await bytes() : bytes);
    if (ends) await scene.conn.closeWrite();
    await scene.closed();
    scene.assertLogged(reason);
    assertEquals(scene.node.counters.refused, 1);
    await scene.assertServed();
  });
}

const stalled: readonly Case[] = [
  {
    what: "says nothing",
    bytes: new Uint8Array(),
    reason: /the handshake took longer/,
  },
  {
    what: "sends half a hello for ever",
    bytes: async () => framed(await hello()).subarray(0, 50),
    reason: /the handshake took longer/,
  },
  {
    what: "never sends its proof",
    bytes: async () => framed(await hello()),
    reason: /the handshake took longer/,
  },
];

for (const { what, bytes, reason } of stalled) {
  Deno.test(`Node gives up on a stranger who ${what}`, async () => {
    await using scene = await Scene.open();
    await scene.write(typeof bytes === "function" ? await bytes() : bytes);
    await scene.assertServed(); // by then the node has accepted it
    scene.clock.tick(HANDSHAKE_TIMEOUT);
    await scene.closed();
    scene.assertLogged(reason);
    assertEquals(scene.node.counters.refused, 1);
    await scene.assertServed();
  });
}

// -- After the handshake --

const afterHandshake: readonly Case[] = [
  {
    what: "an oversized length",
    bytes: Uint8Array.of(0xff, 0xff, 0xff, 0xff),
    breaks: true,
    reason: /a message has at most 1048576/,
  },
  {
    what: "a truncated frame",
    bytes: Uint8Array.of(0, 0, 0, 100, 0x10, 0, 0, 0),
    ends: true,
    breaks: true,
    reason: /ended within a message/,
  },
  {
    what: "a message shorter than a header",
    bytes: framed([0x10, 0, 0]),
    reason: /shorter than a header/,
  },
  {
    what: "an unknown frame type",
    bytes: framed([0x7f, 0, 0, 0]),
    reason: /unknown type \(0x7f\)/,
  },
  {
    what: "flags that nobody knows",
    bytes: framed([0x10, 1, 0, 0]),
    reason: /flags that this version does not know/,
  },
  {
    what: "a second hello",
    bytes: async () => framed(await hello()),
    reason: /a hello frame \(0x01\) came after the handshake/,
  },
  {
    what: "a second proof",
    bytes: framed([3, 0, 0, 0, 0x80]),
    reason: /a proof frame \(0x03\) came after the handshake/,
  },
  {
    what: "a gap without a number",
    bytes: sent("gap", [0, 0]),
    reason: /Cannot read a gap/,
  },
  {
    what: "a bundle of garbage",
    bytes: sent("data", [
      1,
      0,
      ...Array.from({ length: 100 }, (_, i) => (i * 151 + 7) & 0xff),
    ]),
    reason: /Cannot read a bundle of events/,
  },
  {
    what: "a bundle whose event is longer than the bundle",
    bytes: sent("data", echo([1], 2 ** 32 - 1)),
    reason: /Cannot read a bundle of events: its length/,
  },
  {
    what: "an event of nested MessagePack",
    bytes: sent("data", echo(new Array(5000).fill(0x91))),
    reason: /nested deeper than 32 levels/,
  },
  {
    what: "an event of lying MessagePack",
    bytes: sent("data", echo([0xdd, 0xff, 0xff, 0xff, 0xff])),
    reason: /Cannot decode MessagePack/,
  },
  {
    what: "an event of MessagePack that ends early",
    bytes: sent("data", echo([0xc6, 0, 0, 0, 100])),
    reason: /Cannot decode MessagePack: it ends early/,
  },
];

for (const { what, bytes, ends, breaks, reason } of afterHandshake) {
  Deno.test(`Node ends the link of a peer who sends ${what}`, async () => {
    await using scene = await Scene.open();
    await scene.introduce();
    await scene.write(typeof bytes === "function" ? await bytes() : bytes);
    if (ends) await scene.conn.closeWrite();
    await scene.closed();
    scene.assertLogged(reason);
    const { violations, broken } = scene.node.counters;
    assertEquals([violations, broken], breaks ? [0, 1] : [1, 0]);
    await scene.assertServed();
  });
}

const ignored: readonly {
  readonly what: string;
  readonly bytes: Uint8Array;
}[] = [
  {
    what: "a frame that a later version may know",
    bytes: framed([0x80, 1, 2, 3, 4]),
  },
  {
    what: "a malformed message of the membership",
    bytes: sent("control", [2, 1, 2, 1, 255, 255]),
  },
  {
    what: "a membership message of another version",
    bytes: sent("control", [2, 99, 99]),
  },
  { what: "a payload of another kind", bytes: sent("data", [99]) },
  {
    what: "a reply to nothing",
    bytes: sent("data", [1, 0, 0x82, 255, 0, 0, 0, 0, 0, 0, 0, 7]),
  },
];

for (const { what, bytes } of ignored) {
  Deno.test(`Node goes on with a peer who sends ${what}`, async () => {
    await using scene = await Scene.open();
    await scene.introduce();
    const heard = Promise.withResolvers<unknown>();
    scene.node.on("echo", (value, { from }) => {
      if (from === "mallory") heard.resolve(value);
    });
    await scene.write(bytes);
    await scene.write(sent("data", echo([...msgpackr().encode("after that")])));
    assertEquals(await heard.promise, "after that");
    assertEquals(scene.node.counters.violations, 0);
    await scene.assertServed();
  });
}

Deno.test("Node names the stranger and the reason in the log", async () => {
  await using scene = await Scene.open();
  const { port } = scene.conn.localAddr;
  await scene.write(framed([0x7f, 0, 0, 0]));
  await scene.closed();
  scene.assertLogged(new RegExp(`"tcp://127.0.0.1:${port}".*unknown type`));
});

Deno.test("a node that starts and closes twenty times in a row is not banned", async () => {
  await using node = createNode({
    cluster: CLUSTER,
    id: "shop",
    logger: silent,
  });
  const address = await node.listen("tcp://127.0.0.1:0");
  for (let start = 0; start < 20; start++) {
    await using again = createNode({
      cluster: CLUSTER,
      id: "restless",
      logger: silent,
    });
    assertEquals(await again.join(address), 1);
  }
  assertEquals(node.counters.limits.banAfter, 0);
});
