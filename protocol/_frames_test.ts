import { assertEquals, assertThrows } from "@std/assert";
import { concat, seeded } from "./_fixtures_test.ts";
import {
  FRAME,
  gap,
  goodbye,
  HEADER_SIZE,
  readGap,
  readGoodbye,
  readHeader,
  readUint53,
  writeHeader,
  writeUint53,
} from "./_frames.ts";
import { type FrameKind, ProtocolError } from "./types.ts";

const GOLDEN: readonly (readonly [FrameKind, string])[] = [
  ["data", "10000000"],
  ["control", "11000000"],
  ["gap", "12000000"],
  ["goodbye", "13000000"],
  ["progress", "90000000"],
  ["echo", "91000000"],
  ["echoed", "92000000"],
];

Deno.test("writeHeader() writes the header and leaves the body alone", () => {
  for (const [kind, header] of GOLDEN) {
    const target = new Uint8Array(6).fill(0xee);
    writeHeader(kind, target);
    assertEquals(target.toHex(), `${header}eeee`);
  }
});

Deno.test("writeHeader() refuses a target without room for it", () => {
  for (let size = 0; size < HEADER_SIZE; size++) {
    assertThrows(
      () => writeHeader("data", new Uint8Array(size)),
      RangeError,
      `Cannot write a header of 4 bytes into ${size}`,
    );
  }
});

Deno.test("readHeader() knows, skips or refuses each of the 256 types", () => {
  const kinds = new Map<number, FrameKind>(
    GOLDEN.map(([kind]) => [FRAME[kind], kind]),
  );
  for (let type = 0; type < 256; type++) {
    const read = () => readHeader(new Uint8Array([type, 0, 0, 0, 7]));
    const kind = kinds.get(type);
    if (kind !== undefined) assertEquals(read(), kind);
    else if (type >= 0x80) assertEquals(read(), null);
    else if (type >= 0x01 && type <= 0x05) {
      assertThrows(read, ProtocolError, "came after the handshake");
    } else assertThrows(read, ProtocolError, "a frame of unknown type (0x");
  }
});

Deno.test("readHeader() names the type that it refuses", () => {
  assertThrows(
    () => readHeader(new Uint8Array([0x01, 0, 0, 0])),
    ProtocolError,
    "Cannot read a frame: a hello frame (0x01) came after the handshake",
  );
  assertThrows(
    () => readHeader(new Uint8Array([0x42, 0, 0, 0])),
    ProtocolError,
    "Cannot read a frame: a frame of unknown type (0x42) came",
  );
});

Deno.test("readHeader() refuses each flag and each reserved bit", () => {
  for (const [kind] of GOLDEN) {
    if (FRAME[kind] >= 0x80) continue; // those may be skipped
    for (let bit = 0; bit < 24; bit++) {
      const frame = new Uint8Array([FRAME[kind], 0, 0, 0]);
      frame[1 + (bit >> 3)] = 1 << (bit & 7);
      assertThrows(
        () => readHeader(frame),
        ProtocolError,
        bit < 8
          ? "has flags that this version does not know (0x"
          : "has reserved bytes that are not zero",
      );
    }
  }
});

Deno.test("readHeader() skips a frame of a later version whatever its flags", () => {
  assertEquals(readHeader(new Uint8Array([0x80, 1, 2, 3])), null);
});

Deno.test("readHeader() refuses a message shorter than a header", () => {
  for (const type of [...Object.values(FRAME), 0x80]) {
    for (let size = 0; size < HEADER_SIZE; size++) {
      assertThrows(
        () => readHeader(new Uint8Array([type, 0, 0, 0]).subarray(0, size)),
        ProtocolError,
        `a message of ${size} bytes, shorter than a header, came`,
      );
    }
  }
});

Deno.test("readUint53() reads what writeUint53() wrote", () => {
  const random = seeded(1);
  const values = [0, 1, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER];
  for (let i = 0; i < 1000; i++) values.push(Math.floor(random() * 2 ** 53));
  for (const value of values) {
    const bytes = new Uint8Array(11);
    writeUint53(value, bytes.subarray(1), 2);
    assertEquals(readUint53(bytes.subarray(1), 2), value);
    assertEquals(
      new DataView(bytes.buffer).getBigUint64(3),
      BigInt(value),
    );
  }
});

Deno.test("gap() has its bytes", () => {
  assertEquals(gap(0).toHex(), "120000000000000000000000");
  assertEquals(gap(258).toHex(), "120000000000000000000102");
  assertEquals(
    gap(Number.MAX_SAFE_INTEGER).toHex(),
    "12000000001fffffffffffff",
  );
});

Deno.test("gap() refuses what is no safe integer from 0 on", () => {
  for (const dropped of [-1, 0.5, 2 ** 53, NaN, Infinity]) {
    assertThrows(() => gap(dropped), RangeError, `Cannot write ${dropped}`);
  }
});

Deno.test("readGap() reads what gap() wrote", () => {
  for (const dropped of [0, 1, 2 ** 32 + 7, Number.MAX_SAFE_INTEGER]) {
    assertEquals(readGap(gap(dropped)), dropped);
  }
});

Deno.test("readGap() refuses a gap cut short, a longer one and a greater number", () => {
  const frame = gap(7);
  for (let size = 0; size < frame.length; size++) {
    assertThrows(() => readGap(frame.subarray(0, size)), ProtocolError);
  }
  assertThrows(
    () => readGap(concat(frame, [0])),
    ProtocolError,
    "Cannot read a gap: it has 13 bytes instead of 12",
  );
  assertThrows(
    () => readGap(Uint8Array.fromHex("120000000020000000000000")),
    ProtocolError,
    "Cannot read a gap: its number exceeds 2⁵³ − 1",
  );
});

Deno.test("readGap() refuses another frame", () => {
  assertThrows(
    () => readGap(goodbye("12345678")),
    ProtocolError,
    "Cannot read a gap: a goodbye frame (0x13) was given",
  );
});

Deno.test("goodbye() has its bytes", () => {
  assertEquals(goodbye("").toHex(), "13000000");
  assertEquals(goodbye("bye ≥\n").toHex(), "1300000062796520e289a5efbfbd");
});

Deno.test("readGoodbye() reads what goodbye() wrote, at most 200 characters", () => {
  assertEquals(readGoodbye(goodbye("closing")), "closing");
  assertEquals(readGoodbye(goodbye("x".repeat(2 ** 20))), "x".repeat(200));
});

Deno.test("readGoodbye() never throws", () => {
  const random = seeded(2);
  assertEquals(readGoodbye(new Uint8Array()), "");
  assertEquals(readGoodbye(new Uint8Array(3)), "");
  for (let i = 0; i < 2000; i++) {
    const length = Math.floor(random() * 900);
    const message = Uint8Array.from({ length }, () => random() * 256);
    assertEquals([...readGoodbye(message)].length <= 200, true);
  }
});
