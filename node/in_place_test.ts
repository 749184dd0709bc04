/** Nodes over TCP, which send and receive in place. */
import { createNode, type Logger, type Node } from "@devts/devts";
import { seededRandom } from "@devts/routing/testing";
import { assert, assertEquals } from "@std/assert";
import { eventually, turn } from "./_support_test.ts";

interface Events {
  nobody(): void;
  bytes(bytes: Uint8Array): void;
  sample(sample: Sample): void;
  flat(fields: { id: number; text: string }): void;
  blob(size: number): Uint8Array;
  samples(count: number): Promise<Sample[]>;
}

/** An event with byte fields at every depth. */
interface Sample {
  readonly number: number;
  readonly bytes: Uint8Array;
  readonly parts: readonly {
    readonly text: string;
    readonly bytes: Uint8Array;
  }[];
}

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/** A cluster over loopback, in which everyone knows everyone. */
class Cluster implements AsyncDisposable {
  readonly nodes: readonly Node<Events>[];

  private constructor(nodes: readonly Node<Events>[]) {
    this.nodes = nodes;
  }

  static async open(...ids: string[]): Promise<Cluster> {
    const nodes = ids.map((id) =>
      createNode<Events>({ cluster: "in-place", id, logger: silent })
    );
    const cluster = new Cluster(nodes);
    const addresses: string[] = [];
    for (const node of nodes) {
      addresses.push(await node.listen("tcp://127.0.0.1:0"));
      await node.join(...addresses.slice(0, -1));
    }
    await eventually(() =>
      nodes.every(({ members }) => members.size === ids.length - 1)
    );
    return cluster;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.close()));
  }
}

/** Bytes that tell what they belong to, and where they are cut or mixed up. */
function pattern(number: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at++) bytes[at] = number * 31 + at * 7;
  return bytes;
}

/** A sample of some size, the same for the same number. */
function sample(number: number, size: number): Sample {
  return {
    number,
    bytes: pattern(number, size),
    parts: [1, 2].map((part) => ({
      text: `part ${part}`,
      bytes: pattern(number + part, size >>> part),
    })),
  };
}

function isPattern(bytes: Uint8Array, number: number, size: number): boolean {
  return bytes.length === size &&
    bytes.every((byte, at) => byte === ((number * 31 + at * 7) & 0xff));
}

function isSample(value: Sample, number: number, size: number): boolean {
  return value.number === number && isPattern(value.bytes, number, size) &&
    value.parts.every(({ bytes }, i) =>
      isPattern(bytes, number + i + 1, size >>> (i + 1))
    );
}

/** Overwrites every byte field of a sample. */
function spoil({ bytes, parts }: Sample): void {
  for (const field of [bytes, ...parts.map(({ bytes }) => bytes)]) {
    field.fill(0xee);
  }
}

/** Sizes of events: in small bundles and large ones, alone, and too long for a read buffer. */
function sizes(count: number): number[] {
  const random = seededRandom(3);
  return Array.from({ length: count }, (_, i) => {
    const most = i % 50 === 49 ? 300_000 : i % 7 === 6 ? 20_000 : 400;
    return Math.floor(random() * most);
  });
}

/** Waits until each node knows what the others handle: that comes before any answer. */
async function toldAll(nodes: readonly Node<Events>[]): Promise<void> {
  const asked = nodes.flatMap((node) =>
    nodes.map(({ id }) => node.request(id, "nobody"))
  );
  await Promise.allSettled(asked);
}

Deno.test("Node gives byte fields that stay as they are, in bundles of any size", async () => {
  await using cluster = await Cluster.open("ada", "bob");
  const [ada, bob] = cluster.nodes;
  assert(ada && bob);
  const all = sizes(600);
  const kept: { value: Uint8Array | Sample; number: number }[] = [];
  let flat = 0;
  bob.on("bytes", (value) => {
    kept.push({ value, number: kept.length });
  });
  bob.on("sample", (value) => {
    kept.push({ value, number: kept.length });
  });
  bob.on("flat", ({ id, text }) => {
    assertEquals(text, `text ${id}`);
    flat++;
  });
  for (const [number, size] of all.entries()) {
    const phase = number % 150;
    // Large bundles in which there are no bytes, so that more is read in place.
    if (phase === 0 || phase === 120) {
      for (let id = 0; id < 3_000; id++) {
        await ada.emit("flat", { id, text: `text ${id}` });
      }
    }
    const sent = number % 3 === 0
      ? ada.emit("bytes", pattern(number, size))
      : ada.send("bob", "sample", sample(number, size));
    // At first each arrives alone; then many together, or as many as may.
    if (phase < 60) await eventually(() => kept.length > number);
    if (phase < 120) await sent;
  }
  await eventually(() => kept.length === all.length);
  assertEquals(flat, 4 * 2 * 3_000);
  for (const { value, number } of kept) {
    const size = all[number] ?? 0;
    assert(
      value instanceof Uint8Array
        ? isPattern(value, number, size)
        : isSample(value, number, size),
      `event ${number} has changed`,
    );
  }
});

Deno.test("Node gives replies whose byte fields stay as they are", async () => {
  await using cluster = await Cluster.open("ada", "bob");
  const [ada, bob] = cluster.nodes;
  assert(ada && bob);
  bob.on("blob", (size) => pattern(size, size));
  bob.on("samples", async (count) => {
    await turn();
    return Array.from({ length: count }, (_, i) => sample(i, 50 * i));
  });
  const all = sizes(300).filter((size) => size < 100_000);
  for (let round = 0; round < 3; round++) {
    const blobs = all.map((size) => ada.request("bob", "blob", size));
    const samples = all.slice(0, 40).map((_, i) =>
      ada.request("bob", "samples", i)
    );
    const [gotBlobs, gotSamples] = await Promise.all([
      Promise.all(blobs),
      Promise.all(samples),
    ]);
    for (const [i, size] of all.entries()) {
      assert(isPattern(gotBlobs[i] ?? new Uint8Array(1), size, size));
    }
    for (const [count, list] of gotSamples.entries()) {
      assertEquals(list.length, count);
      for (const [i, one] of list.entries()) {
        assert(isSample(one, i, 50 * i), `sample ${i} of ${count} has changed`);
      }
    }
  }
});

Deno.test("Node lets handlers write to what they are given, unseen by others", async () => {
  await using cluster = await Cluster.open("ada", "bob", "cyd");
  const { nodes } = cluster;
  const [ada] = nodes;
  assert(ada);
  const all = sizes(300).map((size, i) => i % 100 > 60 ? size + 40_000 : size);
  const seen = nodes.map(() => 0);
  for (const [index, node] of nodes.entries()) {
    const arrived = (whole: boolean): void => {
      const number = seen[index] ?? 0;
      assert(whole, `event ${number} arrived changed at "${node.id}"`);
      seen[index] = number + 1;
    };
    node.on("bytes", (bytes) => {
      const number = seen[index] ?? 0;
      arrived(isPattern(bytes, number, all[number] ?? 0));
      bytes.fill(0xee);
    });
    node.on("sample", (value) => {
      const number = seen[index] ?? 0;
      arrived(isSample(value, number, all[number] ?? 0));
      spoil(value);
    });
  }
  await toldAll(nodes);
  for (const [number, size] of all.entries()) {
    const options = { self: true };
    const bytes = pattern(number, size);
    const value = sample(number, size);
    const sent = number % 2 === 0
      ? ada.emit("bytes", bytes, options)
      : ada.emit("sample", value, options);
    // For a while each alone, then several, then so much that it has to wait.
    if (number % 100 < 10) await turn();
    if (number % 100 < 50 || number % 100 === 99) await sent;
    // What was sent is the sender's.
    assert(isPattern(bytes, number, size) && isSample(value, number, size));
  }
  await eventually(() => seen.every((count) => count === all.length));
  for (const { counters } of nodes) assertEquals(counters.handlerErrors, 0);
});

Deno.test("Node sends to one and to all in turns, and each gets its events in order", async () => {
  await using cluster = await Cluster.open("ada", "bob", "cyd", "dan");
  const [ada, ...others] = cluster.nodes;
  assert(ada);
  const expected = new Map(others.map(({ id }) => [id, [] as number[]]));
  const arrived = new Map(others.map(({ id }) => [id, [] as number[]]));
  for (const node of others) {
    node.on("sample", ({ number, bytes }) => {
      assert(isPattern(bytes, number, bytes.length));
      arrived.get(node.id)?.push(number);
    });
  }
  await toldAll(cluster.nodes);
  const random = seededRandom(5);
  for (let number = 0; number < 3_000; number++) {
    const size = Math.floor(random() * (number % 40 === 0 ? 90_000 : 100));
    const [one] = others.slice(Math.floor(random() * others.length));
    assert(one);
    const toAll = random() < 0.5;
    const sent = toAll
      ? ada.emit("sample", sample(number, size))
      : ada.send(one.id, "sample", sample(number, size));
    for (const { id } of toAll ? others : [one]) expected.get(id)?.push(number);
    if (random() < 0.1) await sent;
    if (random() < 0.01) await turn();
  }
  const count = [...expected.values()].flat().length;
  await eventually(() => [...arrived.values()].flat().length >= count);
  assertEquals(arrived, expected);
});

Deno.test("Node.emit() awaited in a loop lets the event loop turn", async () => {
  await using cluster = await Cluster.open("ada", "bob");
  const [ada, bob] = cluster.nodes;
  assert(ada && bob);
  let received = 0;
  bob.on("bytes", () => {
    received++;
  });
  await toldAll(cluster.nodes);
  let turns = 0;
  let over = false;
  const counting = (async () => {
    for (; !over; turns++) await turn();
  })();
  const count = 8_000;
  for (let i = 0; i < count; i++) {
    await ada.emit("bytes", new Uint8Array(1_024));
  }
  over = true;
  await counting;
  // Half a MiB at most in each.
  assert(turns >= 15, `${turns} turns`);
  await eventually(() => received === count);
});
