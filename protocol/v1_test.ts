import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import {
  concat,
  fields,
  hello,
  introduction,
  welcome,
} from "./_fixtures_test.ts";
import { readHello, writeFinish, writeProof } from "./_messages.ts";
import { writeRefusal } from "./_refusal.ts";
import {
  type Channel,
  type IntroduceOptions,
  type Introduction,
  ProtocolError,
  type Refusal,
} from "./types.ts";
import { v1 } from "./v1.ts";

const protocol = v1();
const A = introduction({ id: "a" });
const B = introduction({ id: "b", incarnation: 2 });
const REFUSAL: Refusal = { code: "stale", detail: "no", incarnation: 9 };

/** Messages on their way: what was pushed is taken in order, `null` is the end. */
class Queue {
  readonly #messages: (Uint8Array | null)[] = [];
  #taker: ((message: Uint8Array | null) => void) | null = null;

  push(message: Uint8Array | null): void {
    this.#messages.push(message);
    this.#serve();
  }

  take(): Promise<Uint8Array | null> {
    const { promise, resolve } = Promise.withResolvers<Uint8Array | null>();
    this.#taker = resolve;
    this.#serve();
    return promise;
  }

  #serve(): void {
    const message = this.#messages[0];
    if (message === undefined || this.#taker === null) return;
    // The end stays, so that it is taken for ever.
    if (message !== null) this.#messages.shift();
    this.#taker(message);
    this.#taker = null;
  }
}

/** One end of a pipe, with what it sent and the limits that it received under. */
interface End extends Channel {
  readonly log: Uint8Array[];
  readonly limits: (number | undefined)[];
  close(): void;
}

function pipe(): [End, End] {
  const there = new Queue();
  const back = new Queue();
  return [end(there, back), end(back, there)];
}

function end(to: Queue, from: Queue): End {
  const log: Uint8Array[] = [];
  const limits: (number | undefined)[] = [];
  return {
    log,
    limits,
    send: (message) => {
      log.push(message);
      to.push(message);
      return Promise.resolve();
    },
    receive: (options) => {
      limits.push(options?.limit);
      return from.take();
    },
    close: () => to.push(null),
  };
}

function dialer(
  said: Introduction = A,
  changes: Partial<IntroduceOptions> = {},
): IntroduceOptions {
  return { role: "dialer", self: () => said, admit: () => null, ...changes };
}

function acceptor(
  said: Introduction = B,
  changes: Partial<IntroduceOptions> = {},
): IntroduceOptions {
  return { role: "acceptor", self: () => said, admit: () => null, ...changes };
}

/** The other end plays `messages`, whatever it hears, and then closes. */
function played(...messages: readonly Uint8Array[]): End {
  const [near, far] = pipe();
  for (const message of messages) far.send(message);
  far.close();
  return near;
}

/** The messages by which the other side plays its part to the end. */
function part(role: IntroduceOptions["role"]): Uint8Array[] {
  return role === "dialer"
    ? [welcome({ ...fields(), id: "b" }), writeFinish()]
    : [hello(fields()), writeProof()];
}

function options(role: IntroduceOptions["role"]): IntroduceOptions {
  return role === "dialer" ? dialer() : acceptor();
}

const ROLES = ["dialer", "acceptor"] as const;

Deno.test("v1() has a header of four bytes", () => {
  assertEquals(protocol.headerSize, 4);
  const frame = new Uint8Array(protocol.headerSize);
  protocol.writeHeader("control", frame);
  assertEquals(protocol.readHeader(frame), "control");
  assertEquals(protocol.readGap(protocol.gap(7)), 7);
  assertEquals(protocol.readGoodbye(protocol.goodbye("bye")), "bye");
});

Deno.test("v1().introduce() introduces two nodes by four small messages", async () => {
  const [near, far] = pipe();
  const [met, meets] = await Promise.all([
    protocol.introduce(near, dialer(A, { expect: "b" })),
    protocol.introduce(far, acceptor()),
  ]);
  assertEquals(met, { peer: B, version: 1 });
  assertEquals(meets, { peer: A, version: 1 });
  assertEquals([near.log, far.log].map((log) => log.map((m) => m[0])), [
    [0x01, 0x03],
    [0x02, 0x04],
  ]);
  assertEquals(near.limits, [4096, 4096]);
  assertEquals(far.limits, [4096, 4096]);
});

Deno.test("v1().introduce() takes a fresh nonce each time", async () => {
  const nonces = new Set<string>();
  for (let i = 0; i < 3; i++) {
    const channel = played();
    await assertRejects(
      () => protocol.introduce(channel, dialer()),
      ProtocolError,
    );
    const [first] = channel.log;
    assert(first !== undefined);
    nonces.add(readHello(first).nonce.toHex());
  }
  assertEquals(nonces.size, 3);
});

Deno.test("v1().introduce() leaves what follows the handshake in the channel", async () => {
  const [near, far] = pipe();
  const accepted = protocol.introduce(far, acceptor())
    .then(() => far.send(protocol.goodbye("first")));
  await protocol.introduce(near, dialer());
  await near.send(protocol.goodbye("second"));
  await accepted;
  const [first, second] = await Promise.all([near.receive(), far.receive()]);
  assert(first !== null && second !== null);
  assertEquals(protocol.readGoodbye(first), "first");
  assertEquals(protocol.readGoodbye(second), "second");
});

Deno.test("v1().introduce() asks each side to admit the other once, at its last moment", async () => {
  const [near, far] = pipe();
  const asked: unknown[] = [];
  await Promise.all([
    protocol.introduce(
      near,
      dialer(A, {
        admit: (peer) => {
          asked.push(["dialer", peer, near.log.length, far.log.length]);
          return null;
        },
      }),
    ),
    protocol.introduce(
      far,
      acceptor(B, {
        admit: (peer) => {
          asked.push(["acceptor", peer, near.log.length, far.log.length]);
          return null;
        },
      }),
    ),
  ]);
  assertEquals(asked, [["dialer", B, 1, 1], ["acceptor", A, 2, 1]]);
});

Deno.test("v1().introduce() waits for admit", async () => {
  const [near, far] = pipe();
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<Refusal | null>();
  const admit = () => {
    asked.resolve();
    return answer.promise;
  };
  const both = Promise.all([
    protocol.introduce(near, dialer()),
    protocol.introduce(far, acceptor(B, { admit })),
  ]);
  await asked.promise;
  assertEquals(far.log.length, 1);
  answer.resolve(REFUSAL);
  assertEquals(await both, [
    { refusal: REFUSAL, by: "them" },
    { refusal: REFUSAL, by: "us" },
  ]);
});

Deno.test("v1().introduce() tells both sides of each refusal and who refused", async () => {
  const refuse = () => REFUSAL;
  const table: readonly (readonly [
    IntroduceOptions,
    IntroduceOptions,
    string,
    "dialer" | "acceptor",
  ])[] = [
    [
      dialer(),
      acceptor({ ...B, cluster: "blue" }),
      "cluster",
      "acceptor",
    ],
    [dialer(), acceptor({ ...B, format: "json" }), "format", "acceptor"],
    [dialer(), acceptor(A), "self", "acceptor"],
    [dialer(), acceptor({ ...B, id: "a" }), "conflict", "acceptor"],
    [dialer(A, { expect: "c" }), acceptor(), "unexpected", "acceptor"],
    [dialer(), acceptor(B, { admit: refuse }), "stale", "acceptor"],
    [dialer(A, { admit: refuse }), acceptor(), "stale", "dialer"],
  ];
  for (const [one, other, code, by] of table) {
    const [near, far] = pipe();
    const [met, meets] = await Promise.all([
      protocol.introduce(near, one),
      protocol.introduce(far, other),
    ]);
    assert("refusal" in met && "refusal" in meets);
    assertEquals(met.refusal, meets.refusal);
    assertEquals(met.refusal.code, code);
    assertEquals(met.by, by === "dialer" ? "us" : "them");
    assertEquals(meets.by, by === "dialer" ? "them" : "us");
  }
});

Deno.test("v1().introduce() refuses a dialer that speaks later versions only", async () => {
  const accepted = await protocol.introduce(
    played(hello(fields(), [2, 3])),
    acceptor(),
  );
  assertEquals(accepted, {
    refusal: {
      code: "version",
      detail: "the dialer speaks versions 2 to 3, the acceptor 1 to 1",
    },
    by: "us",
  });
  const met = await protocol.introduce(
    played(hello(fields(), [1, 3]), writeProof()),
    acceptor(),
  );
  assertEquals(met, { peer: A, version: 1 });
});

Deno.test("v1().introduce() hears a refusal in place of each answer", async () => {
  for (const role of ROLES) {
    const messages = part(role);
    // The acceptor's first message is awaited from one who has nothing to refuse.
    for (let i = role === "dialer" ? 0 : 1; i < messages.length; i++) {
      const channel = played(...messages.slice(0, i), writeRefusal(REFUSAL));
      assertEquals(
        await protocol.introduce(channel, options(role)),
        { refusal: REFUSAL, by: "them" },
      );
    }
  }
});

Deno.test("v1().introduce() says what it expected when the connection ends early", async () => {
  const table = [
    ["dialer", 0, "a welcome or a refusal"],
    ["dialer", 1, "a finish or a refusal"],
    ["acceptor", 0, "a hello"],
    ["acceptor", 1, "a proof or a refusal"],
  ] as const;
  for (const [role, messages, what] of table) {
    await assertRejects(
      () =>
        protocol.introduce(
          played(...part(role).slice(0, messages)),
          options(role),
        ),
      ProtocolError,
      `Cannot finish the handshake: expected ${what}, but the connection ended`,
    );
  }
});

Deno.test("v1().introduce() refuses data before the handshake is over", async () => {
  const frame = new Uint8Array(8);
  protocol.writeHeader("data", frame);
  for (const role of ROLES) {
    for (const messages of [0, 1]) {
      await assertRejects(
        () =>
          protocol.introduce(
            played(...part(role).slice(0, messages), frame),
            options(role),
          ),
        ProtocolError,
        "but a data frame (0x10) came",
      );
    }
  }
});

Deno.test("v1().introduce() refuses a message over the limit that a channel let through", async () => {
  for (const role of ROLES) {
    await assertRejects(
      () => protocol.introduce(played(new Uint8Array(4097)), options(role)),
      ProtocolError,
      "a message of 4097 bytes came, over the limit of 4096",
    );
  }
});

Deno.test("v1().introduce() ends, with each message truncated or a bit of it flipped", async () => {
  for (const role of ROLES) {
    const messages = part(role);
    for (const [i, message] of messages.entries()) {
      const damaged = Array.from(
        { length: message.length },
        (_, size) => message.subarray(0, size),
      );
      for (let bit = 0; bit < 8 * message.length; bit++) {
        damaged.push(
          message.map((byte, at) =>
            at === bit >> 3 ? byte ^ 1 << (bit & 7) : byte
          ),
        );
      }
      for (const other of damaged) {
        const channel = played(...messages.with(i, other));
        await protocol.introduce(channel, options(role)).catch((error) =>
          assertInstanceOf(error, ProtocolError)
        );
      }
    }
  }
});

Deno.test("v1().introduce() gives the channel's failure as the cause", async () => {
  const broken = new Error("broken");
  for (const role of ROLES) {
    for (let messages = 0; messages < 2; messages++) {
      const receives = played(...part(role).slice(0, messages));
      const channel: Channel = {
        ...receives,
        receive: async () => {
          const message = await receives.receive();
          if (message === null) throw broken;
          return message;
        },
      };
      const error = await assertRejects(
        () => protocol.introduce(channel, options(role)),
        ProtocolError,
        "Cannot finish the handshake: the connection broke",
      );
      assertStrictEquals(error.cause, broken);
    }
  }
});

Deno.test("v1().introduce() fails when one of its own messages cannot be sent", async () => {
  const broken = new Error("broken");
  for (const role of ROLES) {
    for (let sends = 0; sends < 2; sends++) {
      const error = await assertRejects(
        () => protocol.introduce(failing(role, sends, broken), options(role)),
        ProtocolError,
        "Cannot finish the handshake: the connection broke",
      );
      assertStrictEquals(error.cause, broken);
    }
  }
});

Deno.test("v1().introduce() refuses even where the refusal cannot be sent", async () => {
  const broken = new Error("broken");
  for (const role of ROLES) {
    const refusing = { ...options(role), admit: () => REFUSAL };
    assertEquals(
      await protocol.introduce(failing(role, 1, broken), refusing),
      { refusal: REFUSAL, by: "us" },
    );
  }
});

Deno.test("v1().introduce() rejects with what self or admit throws", async () => {
  const mistake = new TypeError("mistake");
  const fails = () => {
    throw mistake;
  };
  for (const role of ROLES) {
    const table: readonly IntroduceOptions[] = [
      { ...options(role), self: fails },
      { ...options(role), admit: fails },
      { ...options(role), admit: () => Promise.reject(mistake) },
    ];
    for (const wrong of table) {
      const channel = played(...part(role));
      const error = await assertRejects(() =>
        protocol.introduce(channel, wrong)
      );
      assertStrictEquals(error, mistake);
    }
  }
});

Deno.test("v1().introduce() rejects an introduction of its own out of range", async () => {
  for (const role of ROLES) {
    const self = () => introduction({ cluster: "" });
    await assertRejects(
      () =>
        protocol.introduce(played(...part(role)), { ...options(role), self }),
      RangeError,
      "Cannot introduce this node: its cluster must be",
    );
  }
});

Deno.test("v1().introduce() refuses what speaks another protocol", async () => {
  const encoder = new TextEncoder();
  const strangers = [
    encoder.encode("GET / HTTP/1.1\r\n\r\n"),
    encoder.encode("SSH-2.0-OpenSSH_9.9\r\n"),
    Uint8Array.fromHex("16030100c8010000c40303"),
    concat([0x01, 0, 0, 0], encoder.encode("DVTR\x01\x01")),
  ];
  for (const role of ROLES) {
    for (const stranger of strangers) {
      await assertRejects(
        () => protocol.introduce(played(stranger), options(role)),
        ProtocolError,
      );
    }
  }
});

/** A channel whose sends fail from the given one on. */
function failing(
  role: IntroduceOptions["role"],
  from: number,
  error: Error,
): Channel {
  const channel = played(...part(role));
  let sends = 0;
  return {
    receive: channel.receive,
    send: (message) =>
      sends++ < from ? channel.send(message) : Promise.reject(error),
  };
}
