import { encode, type ValueType } from "@std/msgpack";
import { assertEquals, assertThrows } from "@std/assert";
import {
  concat,
  fields,
  hello,
  introduction,
  welcome,
} from "./_fixtures_test.ts";
import { checked } from "./_introduction.ts";
import {
  MESSAGE_LIMIT,
  readFinish,
  readHello,
  readProof,
  readVersions,
  readWelcome,
  writeFinish,
  writeHello,
  writeProof,
  writeWelcome,
} from "./_messages.ts";
import { type Introduction, ProtocolError } from "./types.ts";

const NONCE = new Uint8Array(32).fill(0xaa);
const V1 = { min: 1, max: 1 };
const ONE = new Uint8Array([1]);

// An introduction as map entries: cluster, id, inc, format, addresses, meta, max.
const INTRODUCTION_HEX = "a7636c7573746572" + "a464656d6f" + "a26964" + "a161" +
  "a3696e63" + "01" + "a6666f726d6174" + "a76d73677061636b" +
  "a9616464726573736573" + "91" +
  "b37463703a2f2f31302e302e302e373a37393436" +
  "a46d657461" + "c403010203" + "a36d6178" + "ce00010000";
const NONCE_HEX = "a56e6f6e6365" + "c420" + "aa".repeat(32);
const NO_KEY_HEX = "a36b6579" + "c400";
const NO_PROOF_HEX = "82" + "a3736967" + "c400" + "a36d6163" + "c400";

Deno.test("writeHello() has its bytes", () => {
  const message = { nonce: NONCE, expect: "b", introduction: introduction() };
  assertEquals(
    writeHello(message, { min: 1, max: 3 }).toHex(),
    "01000000" + "44565453" + "01" + "03" + "8b" + NONCE_HEX + NO_KEY_HEX +
      "a6657870656374" + "a162" + "a46b657973" + "90" + INTRODUCTION_HEX,
  );
});

Deno.test("writeWelcome() has its bytes", () => {
  const message = { version: 1, nonce: NONCE, introduction: introduction() };
  assertEquals(
    writeWelcome(message).toHex(),
    "02000000" + "01" + "0087" + "89" + NONCE_HEX + NO_KEY_HEX +
      INTRODUCTION_HEX + NO_PROOF_HEX,
  );
});

Deno.test("writeProof() has its bytes", () => {
  assertEquals(writeProof().toHex(), "03000000" + NO_PROOF_HEX);
});

Deno.test("writeFinish() has its bytes", () => {
  assertEquals(writeFinish().toHex(), "04000000" + "81" + "a36d6163" + "c400");
});

Deno.test("readHello() and readWelcome() read what was written", () => {
  const said = introduction({
    cluster: "größer",
    incarnation: Number.MAX_SAFE_INTEGER,
    addresses: [],
    meta: new Uint8Array(),
  });
  const first = { nonce: NONCE, expect: "b", introduction: said };
  const frame = writeHello(first, { min: 2, max: 255 });
  assertEquals(readVersions(frame), { min: 2, max: 255 });
  assertEquals(readHello(frame), first);
  const second = { version: 1, nonce: NONCE, introduction: said };
  assertEquals(readWelcome(writeWelcome(second), V1), second);
});

Deno.test("writeHello() and writeWelcome() keep the limit with the longest introduction", () => {
  const said = checked(introduction({
    cluster: "≥".repeat(64),
    id: "x".repeat(64),
    incarnation: Number.MAX_SAFE_INTEGER,
    format: "≥".repeat(64),
    addresses: Array.from({ length: 8 }, () => "x".repeat(256)),
    meta: new Uint8Array(512),
    maxMessage: 2 ** 30,
    contract: "x".repeat(64),
  }));
  const first = { nonce: NONCE, expect: "x".repeat(64), introduction: said };
  const frame = writeHello(first, V1);
  assertEquals(frame.length <= MESSAGE_LIMIT, true);
  assertEquals(readHello(frame), first);
  const second = { version: 1, nonce: NONCE, introduction: said };
  const answer = writeWelcome(second);
  assertEquals(answer.length <= MESSAGE_LIMIT, true);
  assertEquals(readWelcome(answer, V1), second);
});

Deno.test("readHello() gives bytes that do not pin the message", () => {
  const frame = hello(fields());
  const { introduction: said, nonce } = readHello(frame);
  frame.fill(0);
  assertEquals(said.meta, new Uint8Array([1, 2, 3]));
  assertEquals(nonce, NONCE);
  assertEquals(said.meta.buffer.byteLength, 3);
});

Deno.test("readVersions() refuses another magic and what is no range", () => {
  const frame = hello(fields());
  for (let at = 4; at < 8; at++) {
    const other = frame.slice();
    other[at] = 0x20;
    assertThrows(
      () => readVersions(other),
      ProtocolError,
      'Cannot read the hello: its body does not start with "DVTS"',
    );
  }
  for (const [min, max] of [[0, 0], [0, 1], [2, 1]] as const) {
    assertThrows(
      () => readVersions(hello(fields(), [min, max])),
      ProtocolError,
      `${min} to ${max} is no range of versions`,
    );
  }
  assertThrows(
    () => readVersions(frame.subarray(0, 9)),
    ProtocolError,
    "it ends in its prefix",
  );
});

Deno.test("readWelcome() refuses a version that was not offered", () => {
  for (const version of [0, 2, 255]) {
    assertThrows(
      () => readWelcome(welcome(fields(), undefined, version), V1),
      ProtocolError,
      `it chose version ${version}, which was not offered`,
    );
  }
});

Deno.test("readHello() and readWelcome() ignore keys that they do not know", () => {
  const more = { ...fields(), later: { more: [1, { than: ["this"] }] }, 7: 1 };
  assertEquals(readHello(hello(more)).introduction, introduction());
  const proofs = {
    sig: new Uint8Array(),
    mac: new Uint8Array(),
    later: ONE,
  };
  assertEquals(
    readWelcome(welcome(more, proofs), V1).introduction,
    introduction(),
  );
  readProof(concat([0x03, 0, 0, 0], encode(proofs)));
  readFinish(concat([0x04, 0, 0, 0], encode(proofs)));
});

Deno.test("readHello() accepts an integer in 64 bits", () => {
  const wide = { ...fields(), inc: 2n ** 53n - 1n, max: 65536n };
  const { introduction: said } = readHello(hello(wide));
  assertEquals(said.incarnation, Number.MAX_SAFE_INTEGER);
  assertEquals(said.maxMessage, 65536);
});

const TYPES: readonly ValueType[] = [
  null,
  true,
  1,
  0.5,
  -1,
  2 ** 53,
  2n ** 60n,
  "",
  "a\n",
  ONE,
  [],
  [1],
  [["x"]],
  {},
];
/** For each field the values of {@linkcode TYPES} that are in range. */
const IN_RANGE: { readonly [key: string]: (value: ValueType) => boolean } = {
  nonce: () => false,
  key: () => false,
  cluster: () => false,
  id: () => false,
  inc: (value) => value === 1,
  format: () => false,
  addresses: (value) => Array.isArray(value) && value.length === 0,
  meta: (value) => value instanceof Uint8Array,
  max: () => false,
};

Deno.test("readHello() and readWelcome() refuse each field that is missing or of another type", () => {
  for (const [key, inRange] of Object.entries(IN_RANGE)) {
    const { [key]: _, ...missing } = fields();
    const wrong = TYPES.filter((value) => !inRange(value)).map((value) => ({
      ...fields(),
      [key]: value,
    }));
    for (const body of [missing, ...wrong]) {
      assertThrows(
        () => readHello(hello(body)),
        ProtocolError,
        "the hello: it",
      );
      assertThrows(
        () => readWelcome(welcome(body), V1),
        ProtocolError,
        "the welcome: it",
      );
    }
  }
});

Deno.test("readHello() refuses what it expects and keys of another type", () => {
  const inRange: { readonly [key: string]: (value: ValueType) => boolean } = {
    expect: (value) => value === "",
    keys: (value) => Array.isArray(value) && value.length === 0,
  };
  for (const [key, isInRange] of Object.entries(inRange)) {
    for (const value of TYPES.filter((value) => !isInRange(value))) {
      assertThrows(
        () => readHello(hello({ ...fields(), [key]: value })),
        ProtocolError,
        "Cannot read the hello: ",
      );
    }
  }
});

type Table = readonly (readonly [Partial<Introduction>, string])[];
const IN: readonly Partial<Introduction>[] = [
  { cluster: "x" },
  { cluster: "größer als ≥ 😀" },
  { cluster: "x".repeat(64) },
  { id: "!" },
  { id: "~".repeat(64) },
  { incarnation: 0 },
  { incarnation: Number.MAX_SAFE_INTEGER },
  { format: "x" },
  { format: "x".repeat(64) },
  { addresses: [] },
  { addresses: ["x".repeat(256)] },
  { addresses: Array.from({ length: 8 }, () => "x") },
  { meta: new Uint8Array() },
  { meta: new Uint8Array(512) },
  { maxMessage: 4096 },
  { maxMessage: 2 ** 30 },
];
const OUT: Table = [
  [{ cluster: "" }, "its cluster must be"],
  [{ cluster: "x".repeat(65) }, "its cluster must be"],
  [{ cluster: "a\nb" }, "its cluster must be"],
  [{ cluster: "a\u202eb" }, "its cluster must be"],
  [{ cluster: "a\ufffdb" }, "its cluster must be"],
  [{ id: "" }, "its id must be"],
  [{ id: "x".repeat(65) }, "its id must be"],
  [{ id: "a b" }, "its id must be"],
  [{ id: "a\n" }, "its id must be"],
  [{ id: "a\x7f" }, "its id must be"],
  [{ id: "ä" }, "its id must be"],
  [{ incarnation: -1 }, "its incarnation must be"],
  [{ format: "" }, "its format must be"],
  [{ format: "x".repeat(65) }, "its format must be"],
  [{ format: "a\0" }, "its format must be"],
  [
    { addresses: Array.from({ length: 9 }, () => "x") },
    "its addresses must be at most 8",
  ],
  [{ addresses: [""] }, "its addresses must be 1 to 256"],
  [{ addresses: ["x", "x".repeat(257)] }, "its addresses must be 1 to 256"],
  [{ addresses: ["a b"] }, "its addresses must be 1 to 256"],
  [{ addresses: ["tcp://bücher:1"] }, "its addresses must be 1 to 256"],
  [{ meta: new Uint8Array(513) }, "its metadata must be"],
  [{ maxMessage: 4095 }, "its longest message must be"],
  [{ maxMessage: 2 ** 30 + 1 }, "its longest message must be"],
  [{ contract: "" }, "its contract must be"],
  [{ contract: "x".repeat(65) }, "its contract must be"],
];

Deno.test("readHello() and readWelcome() accept every field at the ends of its range", () => {
  for (const changes of IN) {
    const said = introduction(changes);
    assertEquals(checked(said), said);
    const frame = writeHello(
      { nonce: NONCE, expect: "", introduction: said },
      V1,
    );
    assertEquals(readHello(frame).introduction, said);
    const answer = writeWelcome({
      version: 1,
      nonce: NONCE,
      introduction: said,
    });
    assertEquals(readWelcome(answer, V1).introduction, said);
  }
});

Deno.test("readHello() and readWelcome() refuse every field out of range, as checked() does", () => {
  for (const [changes, fault] of OUT) {
    const said = introduction(changes);
    assertThrows(
      () => checked(said),
      RangeError,
      `Cannot introduce this node: ${fault}`,
    );
    const first = { nonce: NONCE, expect: "", introduction: said };
    assertThrows(
      () => readHello(writeHello(first, V1)),
      ProtocolError,
      `Cannot read the hello: ${fault}`,
    );
    const second = { version: 1, nonce: NONCE, introduction: said };
    assertThrows(
      () => readWelcome(writeWelcome(second), V1),
      ProtocolError,
      `Cannot read the welcome: ${fault}`,
    );
  }
});

Deno.test("checked() refuses what only a program can get wrong", () => {
  const table: Table = [
    [{ incarnation: 0.5 }, "its incarnation must be"],
    [{ incarnation: NaN }, "its incarnation must be"],
    [{ maxMessage: Infinity }, "its longest message must be"],
    [{ cluster: "a\ud800" }, "its cluster must be"],
  ];
  for (const [changes, fault] of table) {
    assertThrows(() => checked(introduction(changes)), RangeError, fault);
  }
});

Deno.test("readHello() refuses a nonce of another length", () => {
  for (const length of [0, 31, 33]) {
    const body = { ...fields(), nonce: new Uint8Array(length) };
    assertThrows(
      () => readHello(hello(body)),
      ProtocolError,
      "its nonce must be 32 bytes",
    );
  }
});

Deno.test("readHello() refuses malformed UTF-8 in a name", () => {
  const frame = hello({ ...fields(), cluster: "blue" });
  const at = frame.findIndex((_, i) =>
    frame.subarray(i, i + 4).toHex() === "626c7565"
  );
  frame[at] = 0xff;
  assertThrows(
    () => readHello(frame),
    ProtocolError,
    "its cluster must be 1 to 64 printable characters",
  );
});

Deno.test("readHello() and readWelcome() refuse keys that this node cannot check", () => {
  const body = { ...fields(), key: ONE };
  const fault = "it offers a key that this node cannot check";
  assertThrows(() => readHello(hello(body)), ProtocolError, fault);
  assertThrows(() => readWelcome(welcome(body), V1), ProtocolError, fault);
  assertThrows(
    () => readHello(hello({ ...fields(), keys: [ONE] })),
    ProtocolError,
    "it offers keys that this node cannot check",
  );
});

Deno.test("readWelcome(), readProof() and readFinish() refuse proofs", () => {
  const none = new Uint8Array();
  const fault = "it offers a proof that this node cannot check";
  for (const proof of [{ sig: ONE, mac: none }, { sig: none, mac: ONE }]) {
    assertThrows(
      () => readWelcome(welcome(fields(), proof), V1),
      ProtocolError,
      `Cannot read the welcome: ${fault}`,
    );
    assertThrows(
      () => readProof(concat([0x03, 0, 0, 0], encode(proof))),
      ProtocolError,
      `Cannot read the proof: ${fault}`,
    );
  }
  assertThrows(
    () => readFinish(concat([0x04, 0, 0, 0], encode({ mac: ONE }))),
    ProtocolError,
    `Cannot read the finish: ${fault}`,
  );
});

Deno.test("readProof() and readFinish() refuse a missing proof and one of another type", () => {
  for (const value of TYPES.filter((value) => !(value instanceof Uint8Array))) {
    const body = { sig: new Uint8Array(), mac: value };
    assertThrows(
      () => readProof(concat([0x03, 0, 0, 0], encode(body))),
      ProtocolError,
      'its "mac" must be bytes',
    );
    assertThrows(
      () => readFinish(concat([0x04, 0, 0, 0], encode(body))),
      ProtocolError,
      'its "mac" must be bytes',
    );
  }
  assertThrows(
    () => readProof(concat([0x03, 0, 0, 0], encode({ mac: new Uint8Array() }))),
    ProtocolError,
    'its "sig" must be bytes',
  );
});

Deno.test("readHello() refuses a body that is no map, with the cause", () => {
  for (const body of [null, 1, "x", ONE, [1]]) {
    assertThrows(
      () => readHello(hello(body)),
      ProtocolError,
      "Cannot read the hello: its body is no map",
    );
  }
  const bomb = concat(
    hello([]).subarray(0, 10),
    new Uint8Array(4000).fill(0x91),
  );
  const error = assertThrows(
    () => readHello(bomb),
    ProtocolError,
    "Cannot read the hello: its body is no MessagePack",
  );
  assertEquals(error.cause instanceof SyntaxError, true);
});

Deno.test("readHello() refuses a key __proto__", () => {
  const body = encode({ __prot0__: { id: "a" }, ...fields() });
  body[body.findIndex((byte) => byte === 0x30)] = 0x6f;
  assertEquals(new TextDecoder().decode(body).includes("__proto__"), true);
  const frame = concat(hello([]).subarray(0, 10), body);
  assertThrows(() => readHello(frame), ProtocolError, "is no MessagePack");
});
