/** What a peer may say to a store: nothing of it is half applied, and nothing but stated errors comes out. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { msgpackr } from "@devts/protocol/msgpackr";
import { Reader, ValueCodec, Writer } from "./_bytes.ts";
import {
  EMPTY,
  type Head,
  readHead,
  SCAN,
  writeEntry,
  writeHead,
} from "./_page.ts";
import { type Place, Scan, writePlace } from "./_scan.ts";
import { DriftError, Store } from "./_store.ts";

const codec = msgpackr();
const values = new ValueCodec(codec);
const NOW = Date.UTC(2026, 0, 1);

function store(replica: string): Store {
  return new Store({
    replica,
    codec,
    wallClock: () => NOW,
    clusterTime: () => NOW,
    now: () => 0,
    maxValue: 10_000,
    secret: 0.5,
  });
}

interface Entry {
  readonly seq: number;
  readonly time?: number;
  readonly span?: number;
  readonly key?: string;
}

/** A message as a peer may make it up. */
function message(head: Partial<Head>, entries: readonly Entry[]): Uint8Array {
  const writer = new Writer(1_024);
  writeHead(writer, { ...EMPTY, ...head });
  for (const { seq, time = NOW, span = 0, key = `key ${seq}` } of entries) {
    writeEntry(writer, values, span, seq, time, 0, key, false, "value");
  }
  return writer.copy();
}

function take(into: Store, bytes: Uint8Array): void {
  const reader = new Reader(bytes);
  into.takePage(bytes, reader, readHead(reader));
}

function assertUntouched(victim: Store): void {
  assertEquals(victim.entries.live.size, 0);
  assertEquals(victim.self.mark, 0);
  for (const { mark } of victim.entries.replicas) assertEquals(mark, 0);
}

Deno.test("Store.receive() applies nothing of a delta with a gap before what it lacks", () => {
  const writer = store("b@1");
  const victim = store("a@1");
  writer.write("one", 1, false);
  const first = writer.takeDelta(false)?.slice() ?? new Uint8Array(0);
  writer.write("two", 2, false);
  const second = writer.takeDelta(false)?.slice() ?? new Uint8Array(0);
  assertEquals(victim.receive(second).received, "gap");
  assertUntouched(victim);
  assertEquals(victim.receive(first).received, "taken");
  assertEquals([...victim.entries.live], [["one", 1], ["two", 2]]);
  assertEquals(victim.receive(second).received, "known");
});

Deno.test("Store.receive() keeps no more early deltas than its bounds", () => {
  const victim = store("a@1");
  for (let seq = 2; seq < 2_000; seq++) {
    const spans = [{ id: "b@1", from: seq, to: seq + 1 }];
    victim.receive(message({ spans }, [{ seq: seq + 1 }]));
  }
  assert(victim.counters.earlyDropped > 1_500);
  assertUntouched(victim);
});

Deno.test("Store.receive() refuses a delta of which one stamp is a day ahead, whole", () => {
  const victim = store("a@1");
  const spans = [{ id: "b@1", from: 0, to: 3 }];
  const entries = [{ seq: 1 }, { seq: 2, time: NOW + 86_400_000 }, { seq: 3 }];
  const error = assertThrows(
    () => victim.receive(message({ spans }, entries)),
    DriftError,
  );
  assertEquals(
    error.message,
    "it was stamped 86400 s ahead of the time here; at most 60 s are taken",
  );
  assertUntouched(victim);
  assertEquals(victim.clock.time, 0);
});

Deno.test("Store.takePage() refuses a snapshot that lies, whole", () => {
  const victim = store("a@1");
  const spans = [{ id: "b@1", from: 0, to: 2 }];
  const lies: [Uint8Array, string][] = [
    [message({ spans }, [{ seq: 1 }, { seq: 3 }]), "write 3 is none of those"],
    [message({ spans }, [{ seq: 1 }, { seq: 0 }]), "write 0 is none of those"],
    [message({ spans }, [{ seq: 1, span: 4 }]), "write 1 is none of those"],
    [
      message({ spans: [{ id: "a@1", from: 0, to: 5 }] }, [{ seq: 4 }]),
      "writes that this node never made",
    ],
    [message({ spans: [{ id: "b", from: 0, to: 1 }] }, []), "is no replica"],
    [message({ spans }, [{ seq: 1 }]).slice(0, -1), "it is cut short"],
  ];
  for (const [bytes, why] of lies) {
    assertThrows(() => take(victim, bytes), SyntaxError, why);
    assertUntouched(victim);
  }
});

Deno.test("Scan.run() refuses pages that go back, or on beyond what was asked, and asks their node no more", async () => {
  const places: Place[] = [
    { hash: 0, after: null },
    { hash: 2 ** 32 - 1, after: null },
    { hash: 7, after: "" },
  ];
  const spans = [{ id: "b@1", from: 0, to: 2 }];
  for (const place of places) {
    const victim = store("a@1");
    const refused: string[] = [];
    let asked = 0;
    const scan = new Scan({
      ask: () => {
        asked++;
        const writer = new Writer(256);
        writeHead(writer, { ...EMPTY, flags: SCAN, spans });
        writePlace(writer, place);
        const bytes = writer.copy();
        const reader = new Reader(bytes);
        return Promise.resolve({ bytes, reader, head: readHead(reader) });
      },
      take: ({ bytes, reader, head }) => victim.takePage(bytes, reader, head),
      refused: (id) => void refused.push(id),
      now: () => 0,
    });
    assertEquals(await scan.run(["b"]), false);
    assertEquals(refused, ["b"]);
    assert(asked < 10);
    assertUntouched(victim);
  }
});

Deno.test("Store refuses messages of another version", () => {
  const bytes = message({}, []);
  bytes[0] = 9;
  assertThrows(
    () => readHead(new Reader(bytes)),
    SyntaxError,
    "it has version 9, this node reads 2",
  );
});

Deno.test("Store throws stated errors alone for mutated messages, and applies all or nothing", () => {
  const spans = [{ id: "b@1", from: 0, to: 4 }];
  const sample = message({ spans }, [{ seq: 1 }, { seq: 2 }, { seq: 4 }]);
  const change = fc.record({
    at: fc.nat(sample.length - 1),
    to: fc.integer({ min: 0, max: 255 }),
  });
  fc.assert(
    fc.property(
      fc.array(change, { minLength: 1, maxLength: 4 }),
      fc.nat(sample.length),
      (changes, length) => {
        const bytes = sample.slice(0, length);
        for (const { at, to } of changes) if (at < length) bytes[at] = to;
        for (const say of SAYINGS) {
          const victim = store("a@1");
          try {
            say(victim, bytes);
          } catch (error) {
            assert(error instanceof SyntaxError || error instanceof DriftError);
            assertUntouched(victim);
          }
        }
      },
    ),
    { numRuns: 2_000 },
  );
});

/** All that a peer can say. */
const SAYINGS: readonly ((victim: Store, bytes: Uint8Array) => void)[] = [
  (victim, bytes) => void victim.receive(bytes),
  take,
  (victim, bytes) => void victim.answerPull(readHead(new Reader(bytes))),
  (victim, bytes) => void victim.answerScan(bytes),
  (victim, bytes) => void victim.answerHashes(bytes),
  (victim, bytes) => void victim.answerBuckets(bytes),
  (victim, bytes) => {
    const reader = new Reader(bytes);
    victim.takeBuckets(bytes, reader, readHead(reader), [], false);
  },
];
