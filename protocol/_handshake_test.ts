import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertThrows,
} from "@std/assert";
import {
  admitting,
  concat,
  ended,
  fields,
  hello,
  introduction,
  receiving,
  seeded,
  sent,
  side,
  welcome,
} from "./_fixtures_test.ts";
import { describe, FRAME, readHeader } from "./_frames.ts";
import { accept, dial, type Receive, type Step } from "./_handshake.ts";
import { MESSAGE_LIMIT, readHello, readWelcome } from "./_messages.ts";
import { readRefusal, writeRefusal } from "./_refusal.ts";
import { type Introduction, ProtocolError, type Refusal } from "./types.ts";

const A = introduction({ id: "a" });
const B = introduction({ id: "b", incarnation: 2 });
const REFUSAL: Refusal = { code: "busy", detail: "no place" };

/** A handshake that went well: what each side waited in, and what was sent. */
function wholeHandshake() {
  const welcomeAwaited = receiving(dial(side({ id: "a" })));
  const helloAwaited = receiving(accept(side({ id: "b", incarnation: 2 })));
  const m1 = sent(welcomeAwaited);
  const proofAwaited = receiving(helloAwaited.next(m1));
  const m2 = sent(proofAwaited);
  const dialerAsks = admitting(welcomeAwaited.next(m2));
  const finishAwaited = receiving(dialerAsks.next(null));
  const m3 = sent(finishAwaited);
  const acceptorAsks = admitting(proofAwaited.next(m3));
  const acceptorEnd = ended(acceptorAsks.next(null));
  const m4 = sent(acceptorEnd);
  const dialerEnd = ended(finishAwaited.next(m4));
  return {
    states: { helloAwaited, welcomeAwaited, proofAwaited, finishAwaited },
    messages: { hello: m1, welcome: m2, proof: m3, finish: m4 },
    dialerAsks,
    acceptorAsks,
    dialerEnd,
    acceptorEnd,
  };
}

/** Each state that waits, and the message that it waits for. */
function awaited(): readonly (readonly [Receive, Uint8Array])[] {
  const { states, messages } = wholeHandshake();
  return [
    [states.helloAwaited, messages.hello],
    [states.welcomeAwaited, messages.welcome],
    [states.proofAwaited, messages.proof],
    [states.finishAwaited, messages.finish],
  ];
}

/** Goes one step; anything but a step or a `ProtocolError` fails the test. */
function tryNext(state: Receive, message: Uint8Array | null): Step | null {
  try {
    return state.next(message);
  } catch (error) {
    assertInstanceOf(error, ProtocolError);
    return null;
  }
}

Deno.test("dial() and accept() introduce two nodes by four messages", () => {
  const { dialerAsks, acceptorAsks, dialerEnd, acceptorEnd } = wholeHandshake();
  assertEquals(dialerAsks.peer, B);
  assertEquals(acceptorAsks.peer, A);
  assertEquals(dialerEnd, {
    type: "end",
    introduced: { peer: B, version: 1 },
  });
  assertEquals(acceptorEnd.introduced, { peer: A, version: 1 });
});

Deno.test("dial() and accept() put their nonce and what was dialled into the messages", () => {
  const dialer = receiving(
    dial(side({ id: "a" }, { expect: "b", nonce: 0x11 })),
  );
  const first = readHello(sent(dialer));
  assertEquals(first.expect, "b");
  assertEquals(first.nonce, new Uint8Array(32).fill(0x11));
  const acceptor = receiving(accept(side({ id: "b" }, { nonce: 0x22 })));
  const answer = receiving(acceptor.next(sent(dialer)));
  const second = readWelcome(sent(answer), { min: 1, max: 1 });
  assertEquals(second.nonce, new Uint8Array(32).fill(0x22));
});

Deno.test("dial() and accept() read what the node says of itself when they send it", () => {
  let reads = 0;
  const self = () => introduction({ id: "b", incarnation: ++reads });
  const acceptor = receiving(accept({ ...side(), self }));
  assertEquals(reads, 0);
  const answer = receiving(acceptor.next(wholeHandshake().messages.hello));
  const { introduction: said } = readWelcome(sent(answer), { min: 1, max: 1 });
  assertEquals([reads, said.incarnation], [1, 1]);
  dial({ ...side(), self });
  assertEquals(reads, 2);
});

Deno.test("dial() and accept() refuse to send an introduction out of range", () => {
  assertThrows(
    () => dial(side({ id: "" })),
    RangeError,
    "Cannot introduce this node: its id",
  );
  const acceptor = receiving(accept(side({ id: "" })));
  assertThrows(
    () => acceptor.next(wholeHandshake().messages.hello),
    RangeError,
    "Cannot introduce this node: its id",
  );
  for (const expect of ["", "a b", "x".repeat(65)]) {
    assertThrows(
      () => dial(side({}, { expect })),
      RangeError,
      "Cannot introduce this node: the id that it expects",
    );
  }
});

Deno.test("accept() chooses the highest version in common", () => {
  const acceptor = receiving(accept(side({ id: "b" })));
  for (const max of [1, 2, 3, 255]) {
    const answer = receiving(acceptor.next(hello(fields(), [1, max])));
    assertEquals(readWelcome(sent(answer), { min: 1, max }).version, 1);
  }
});

Deno.test("accept() refuses a dialer without a version in common, whatever else it says", () => {
  const acceptor = receiving(accept(side({ id: "b" })));
  for (const [min, max] of [[2, 2], [2, 3], [255, 255]] as const) {
    const later = concat(
      hello(fields(), [min, max]).subarray(0, 10),
      [0xc1, 0xff],
    );
    const end = ended(acceptor.next(later));
    const refusal: Refusal = {
      code: "version",
      detail:
        `the dialer speaks versions ${min} to ${max}, the acceptor 1 to 1`,
    };
    assertEquals(end.introduced, { refusal, by: "us" });
    assertEquals(readRefusal(sent(end)), refusal);
  }
});

Deno.test("dial() refuses to be answered in a version that it did not offer", () => {
  const { welcomeAwaited } = wholeHandshake().states;
  assertThrows(
    () => welcomeAwaited.next(welcome(fields(), undefined, 2)),
    ProtocolError,
    "it chose version 2, which was not offered",
  );
});

/** What the two say of themselves, what was dialled, and the refusal that follows. */
const DISAGREEMENTS: readonly {
  readonly dialer?: Partial<Introduction>;
  readonly acceptor: Partial<Introduction>;
  readonly expect?: string;
  readonly refusal: Refusal;
}[] = [
  {
    acceptor: { id: "b", cluster: "blue" },
    refusal: {
      code: "cluster",
      detail:
        'the dialer belongs to cluster "demo", the acceptor to cluster "blue"',
    },
  },
  {
    acceptor: { id: "b", format: "json" },
    refusal: {
      code: "format",
      detail:
        'the dialer\'s data has the format "msgpack", the acceptor\'s "json"',
    },
  },
  {
    acceptor: { id: "a" },
    refusal: { code: "self", detail: 'node "a" has dialled itself' },
  },
  {
    acceptor: { id: "a", incarnation: 2 },
    refusal: {
      code: "conflict",
      detail:
        "two programs share the id \"a\": the dialer's incarnation is 1, the acceptor's 2",
    },
  },
  {
    acceptor: { id: "b" },
    expect: "c",
    refusal: {
      code: "unexpected",
      detail: 'node "c" was dialled, but node "b" answered',
    },
  },
  // Where several apply, the first in the order of the checks is said.
  {
    acceptor: { id: "a", cluster: "blue", format: "json" },
    refusal: {
      code: "cluster",
      detail:
        'the dialer belongs to cluster "demo", the acceptor to cluster "blue"',
    },
  },
  {
    acceptor: { id: "a", format: "json" },
    refusal: {
      code: "format",
      detail:
        'the dialer\'s data has the format "msgpack", the acceptor\'s "json"',
    },
  },
  {
    acceptor: { id: "a" },
    expect: "b",
    refusal: { code: "self", detail: 'node "a" has dialled itself' },
  },
];

Deno.test("accept() refuses a dialer that it must not be linked with", () => {
  for (const { dialer = {}, acceptor, expect, refusal } of DISAGREEMENTS) {
    const options = expect === undefined ? {} : { expect };
    const waiting = receiving(dial(side(dialer, options)));
    const end = ended(receiving(accept(side(acceptor))).next(sent(waiting)));
    assertEquals(end.introduced, { refusal, by: "us" });
    const other = ended(waiting.next(sent(end)));
    assertEquals(other, { type: "end", introduced: { refusal, by: "them" } });
  }
});

Deno.test("dial() refuses an acceptor that it must not be linked with, in the same words", () => {
  for (const { dialer = {}, acceptor, expect, refusal } of DISAGREEMENTS) {
    const options = expect === undefined ? {} : { expect };
    const waiting = receiving(dial(side(dialer, options)));
    // An acceptor that does not look at what the dialer says.
    const { cluster, format, id, incarnation } = introduction(acceptor);
    const body = { ...fields(), cluster, format, id, inc: incarnation };
    const end = ended(waiting.next(welcome(body)));
    assertEquals(end.introduced, { refusal, by: "us" });
    const { proofAwaited } = wholeHandshake().states;
    const other = ended(proofAwaited.next(sent(end)));
    assertEquals(other, { type: "end", introduced: { refusal, by: "them" } });
  }
});

Deno.test("dial() and accept() say all that a refusal has to say in 200 characters", () => {
  const long = (letter: string) => letter.repeat(64);
  const incarnation = Number.MAX_SAFE_INTEGER;
  const table: readonly (readonly [
    Partial<Introduction>,
    Partial<Introduction>,
    string,
  ])[] = [
    [{ cluster: long("x") }, { cluster: long("y") }, "b"],
    [{ format: long("x") }, { format: long("y") }, "b"],
    [{ id: long("x") }, { id: long("x") }, "b"],
    [{ id: long("x") }, { id: long("x"), incarnation }, "b"],
    [{}, { id: long("x") }, long("y")],
  ];
  for (const [dialer, acceptor, expect] of table) {
    const waiting = receiving(dial(side(dialer, { expect })));
    const end = ended(receiving(accept(side(acceptor))).next(sent(waiting)));
    assert("refusal" in end.introduced);
    assertEquals(readRefusal(sent(end)), end.introduced.refusal);
  }
});

Deno.test("accept() and dial() refuse whom admit refuses", () => {
  const { dialerAsks, acceptorAsks, states } = wholeHandshake();
  const refusal: Refusal = { code: "stale", detail: "old", incarnation: 9 };
  const dialerEnd = ended(dialerAsks.next(refusal));
  assertEquals(dialerEnd.introduced, { refusal, by: "us" });
  assertEquals(
    ended(states.proofAwaited.next(sent(dialerEnd))).introduced,
    { refusal, by: "them" },
  );
  const acceptorEnd = ended(acceptorAsks.next(refusal));
  assertEquals(acceptorEnd.introduced, { refusal, by: "us" });
  assertEquals(
    ended(states.finishAwaited.next(sent(acceptorEnd))).introduced,
    { refusal, by: "them" },
  );
});

Deno.test("dial() and accept() accept exactly their types in each state, of all 256", () => {
  const { states, messages } = wholeHandshake();
  const genuine = new Map<number, Uint8Array>([
    [FRAME.hello, messages.hello],
    [FRAME.welcome, messages.welcome],
    [FRAME.proof, messages.proof],
    [FRAME.finish, messages.finish],
    [FRAME.refusal, writeRefusal(REFUSAL)],
  ]);
  type Accepted = ReadonlyMap<number, Step["type"]>;
  const matrix: readonly (readonly [Receive, string, Accepted])[] = [
    [states.helloAwaited, "a hello", new Map([[FRAME.hello, "receive"]])],
    [
      states.welcomeAwaited,
      "a welcome or a refusal",
      new Map([[FRAME.welcome, "admit"], [FRAME.refusal, "end"]]),
    ],
    [
      states.proofAwaited,
      "a proof or a refusal",
      new Map([[FRAME.proof, "admit"], [FRAME.refusal, "end"]]),
    ],
    [
      states.finishAwaited,
      "a finish or a refusal",
      new Map([[FRAME.finish, "end"], [FRAME.refusal, "end"]]),
    ],
  ];
  for (const [state, what, accepted] of matrix) {
    for (let type = 0; type < 256; type++) {
      const message = genuine.get(type) ??
        new Uint8Array([type, 0, 0, 0, 0x80]);
      const next = accepted.get(type);
      if (next !== undefined) {
        assertEquals(state.next(message).type, next);
        continue;
      }
      assertThrows(
        () => state.next(message),
        ProtocolError,
        `Cannot finish the handshake: expected ${what}, but ${
          describe(message)
        } came`,
      );
    }
  }
  // The state after the handshake is the business of readHeader().
  for (const message of genuine.values()) {
    assertThrows(
      () => readHeader(message),
      ProtocolError,
      "after the handshake",
    );
  }
});

Deno.test("dial() and accept() refuse flags and reserved bytes in each state", () => {
  for (const [state, message] of awaited()) {
    for (let at = 1; at < 4; at++) {
      const other = message.slice();
      other[at] = 1;
      assertThrows(
        () => state.next(other),
        ProtocolError,
        at === 1
          ? "has flags that this version does not know (0x01)"
          : "has reserved bytes that are not zero",
      );
    }
  }
});

Deno.test("dial() and accept() refuse the end of the connection in each state", () => {
  for (const [state] of awaited()) {
    assertThrows(
      () => state.next(null),
      ProtocolError,
      "but the connection ended",
    );
  }
});

Deno.test("dial() and accept() refuse a message over the limit in each state", () => {
  for (const [state, message] of awaited()) {
    const over = new Uint8Array(MESSAGE_LIMIT + 1);
    over.set(message);
    assertThrows(
      () => state.next(over),
      ProtocolError,
      "but a message of 4097 bytes came, over the limit of 4096",
    );
  }
});

Deno.test("dial() and accept() refuse each message truncated at each byte", () => {
  for (const [state, message] of awaited()) {
    for (let size = 0; size < message.length; size++) {
      const cut = message.subarray(0, size);
      assertThrows(() => state.next(cut), ProtocolError);
    }
  }
});

Deno.test("dial() and accept() refuse each message with a byte too many", () => {
  for (const [state, message] of awaited()) {
    assertThrows(() => state.next(concat(message, [0xc0])), ProtocolError);
  }
});

Deno.test("dial() and accept() bear each message with each bit flipped", () => {
  let broken = 0;
  for (const [state, message] of awaited()) {
    for (let bit = 0; bit < 8 * message.length; bit++) {
      const flipped = message.map((byte, at) =>
        at === bit >> 3 ? byte ^ 1 << (bit & 7) : byte
      );
      if (tryNext(state, flipped) === null) broken++;
    }
  }
  assert(broken > 1000);
});

Deno.test("dial() and accept() bear 20,000 random messages in each state", () => {
  const random = seeded(3);
  const byte = () => Math.floor(random() * 256);
  for (const [state, message] of awaited()) {
    for (let i = 0; i < 20_000; i++) {
      // Half are noise behind a header that fits, half a genuine message, damaged.
      const noise = Uint8Array.from({ length: byte() }, byte);
      const damaged = message.slice();
      for (let times = 1 + (byte() & 3); times > 0; times--) {
        damaged[Math.floor(random() * damaged.length)] = byte();
      }
      const head = message.subarray(0, byte() & 15);
      tryNext(state, i % 2 === 0 ? concat(head, noise) : damaged);
    }
  }
});

Deno.test("dial() and accept() bear 20,000 messages with random fields", () => {
  const random = seeded(4);
  const { helloAwaited, welcomeAwaited } = wholeHandshake().states;
  const keys = Object.keys(fields());
  const values = [null, -1, 2 ** 40, "x", "\n", new Uint8Array(600), [], {}];
  const pick = <T>(from: readonly T[]) =>
    from[Math.floor(random() * from.length)];
  let accepted = 0;
  for (let i = 0; i < 20_000; i++) {
    const body = fields();
    const key = pick(keys);
    const value = pick(values);
    if (key !== undefined && value !== undefined) body[key] = value;
    if (tryNext(helloAwaited, hello(body)) !== null) accepted++;
    tryNext(welcomeAwaited, welcome(body));
  }
  assert(accepted > 0 && accepted < 20_000);
});
