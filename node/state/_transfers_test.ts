/** What a newcomer takes over, and from whom, where nodes and messages get lost. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { msgpackr } from "@devts/protocol/msgpackr";
import { Reader } from "./_bytes.ts";
import { readHead } from "./_page.ts";
import { type Place, readRange } from "./_scan.ts";
import { Store } from "./_store.ts";
import { type Page, type Question, Transfers } from "./_transfers.ts";

const COUNT = 20_000;
const VALUE = "x".repeat(100);

function store(replica: string, now: () => number): Store {
  return new Store({
    replica,
    codec: msgpackr(),
    wallClock: () => 1_000,
    clusterTime: () => 1_000,
    now,
    maxValue: 10_000,
    secret: 0.5,
  });
}

/** A newcomer, and sources that hold the same; each may be gone. */
class Cluster {
  now = 0;
  newcomer = this.#store("new@1");
  readonly sources = new Map<string, Store>();
  /** Scans that each answered: where they began. */
  readonly asked = new Map<string, number[]>();
  readonly gone = new Set<string>();
  readonly refused: string[] = [];
  diverged = 0;
  /** Bytes of the pages of scans. */
  bytes = 0;
  /** Called before each answer to a scan. */
  asking = (_id: string, _from: Place): void => {};
  transfers: Transfers;

  constructor(ids: readonly string[]) {
    const [first = "", ...rest] = ids;
    const source = this.#store(`${first}@1`);
    for (let i = 0; i < COUNT; i++) source.write(`key ${i}`, VALUE, false);
    for (let i = 0; i < 100; i++) source.write(`key ${i}`, undefined, true);
    const all = source.takeDelta(false);
    assert(all);
    this.sources.set(first, source);
    for (const id of rest) {
      const other = this.#store(`${id}@1`);
      other.receive(all);
      this.sources.set(id, other);
    }
    this.transfers = this.#transfers();
  }

  #store(replica: string): Store {
    return store(replica, () => this.now);
  }

  #transfers(): Transfers {
    return new Transfers({
      store: this.newcomer,
      members: () => this.sources.keys(),
      ask: (id, what, question) => this.#ask(id, what, question),
      refused: (id) => void this.refused.push(id),
      diverged: () => void this.diverged++,
      changed: () => {},
      now: () => this.now,
      isVerified: true,
    });
  }

  /** The newcomer is killed, and starts again with what it had. */
  restart(): void {
    const { entries } = this.newcomer;
    this.newcomer = this.#store("new@2");
    for (const { id, mark } of entries.replicas) {
      this.newcomer.restore(id).mark = mark;
    }
    for (let slot = 0; slot < entries.slots; slot++) {
      const key = entries.keyAt(slot);
      const origin = entries.replicas.at(entries.originAt(slot));
      if (key === undefined || !origin) continue;
      this.newcomer.entries.merge({
        key,
        replica: this.newcomer.restore(origin.id),
        seq: entries.seqAt(slot),
        time: entries.timeAt(slot),
        counter: entries.counterAt(slot),
        isDelete: entries.isTombstone(slot),
        value: entries.valueAt(slot),
      });
    }
    this.transfers = this.#transfers();
  }

  /** What an uncut transfer takes, in bytes. */
  async whole(): Promise<number> {
    const other = new Cluster([...this.sources.keys()]);
    await other.transfers.takeOver(other.first);
    return other.bytes;
  }

  get first(): string {
    const [id = ""] = this.sources.keys();
    return id;
  }

  assertWhole(): void {
    const source = this.sources.get(this.first);
    assertEquals(this.newcomer.entries.live.size, COUNT - 100);
    assertEquals(this.newcomer.entries.tombstones, 100);
    assertEquals(this.newcomer.entries.digest(), source?.entries.digest());
    assertEquals(this.newcomer.marks().get(`${this.first}@1`), COUNT + 100);
    assert(!this.newcomer.isPartial);
  }

  async #ask(id: string, what: Question, question: Uint8Array): Promise<Page> {
    // As in a network, others have their turns.
    await Promise.resolve();
    if (what === "scan") this.asking(id, readRange(question).from);
    const source = this.sources.get(id);
    if (!source || this.gone.has(id)) throw new Error(`${id} is gone`);
    const bytes = this.#answer(source, what, question).slice();
    const reader = new Reader(bytes);
    if (what === "scan") {
      this.bytes += bytes.length;
      const starts = this.asked.get(id) ?? [];
      this.asked.set(id, [...starts, readRange(question).from.hash]);
    }
    return { bytes, reader, head: readHead(reader) };
  }

  #answer(source: Store, what: Question, question: Uint8Array): Uint8Array {
    const asked = readHead(new Reader(question));
    switch (what) {
      case "pull":
        return source.answerPull(asked);
      case "scan":
        return source.answerScan(question);
      case "hashes":
        return source.answerHashes(question);
      case "buckets":
        return source.answerBuckets(question);
    }
  }
}

Deno.test("Transfers.takeOver() takes over everything from several nodes, each entry once", async () => {
  const cluster = new Cluster(["a", "b", "c"]);
  await cluster.transfers.takeOver("a");
  cluster.assertWhole();
  const starts = [...cluster.asked.values()].flat();
  assertEquals(new Set(starts).size, starts.length);
  assertEquals(cluster.asked.size, 3);
  for (const asked of cluster.asked.values()) assert(asked.length > 1);
});

Deno.test("Transfers.takeOver() goes on at another node where one is gone in the middle", async () => {
  const cluster = new Cluster(["a", "b", "c"]);
  let count = 0;
  cluster.asking = (id) => {
    if (id === "b" && ++count === 3) cluster.gone.add("b");
  };
  await cluster.transfers.takeOver("a");
  cluster.assertWhole();
  assert(cluster.bytes <= 1.1 * await cluster.whole());
});

Deno.test("Transfers.takeOver() goes on where it was when all nodes are gone and one is back", async () => {
  const cluster = new Cluster(["a", "b", "c"]);
  let count = 0;
  cluster.asking = () => {
    if (++count === 8) { for (const id of "abc") cluster.gone.add(id); }
  };
  const cut = cluster.transfers.takeOver("a");
  await assertRejects(() => cut, Error, "is gone");
  assert(cluster.transfers.isNew && cluster.newcomer.isPartial);
  const { size } = cluster.newcomer.entries.live;
  assert(size > 0 && size < COUNT / 2);
  assertEquals(cluster.newcomer.marks().get("a@1") ?? 0, 0);
  // Live writes go on meanwhile.
  cluster.sources.get("a")?.write("key 5000", "later", false);
  cluster.gone.delete("a");
  await cluster.transfers.takeOver("a");
  assert(!cluster.transfers.isNew);
  assertEquals(cluster.newcomer.entries.live.get("key 5000"), "later");
  assertEquals(cluster.newcomer.entries.live.size, COUNT - 100);
  assert(cluster.bytes <= 1.1 * await cluster.whole());
});

Deno.test("Transfers.takeOver() asks again for a page that got lost, not for all of them", async () => {
  const cluster = new Cluster(["a"]);
  let lost = 0;
  const seen = new Set<number>();
  cluster.asking = (_id, { hash }) => {
    if (seen.has(hash)) return;
    seen.add(hash);
    lost++;
    throw new Error("lost");
  };
  await cluster.transfers.takeOver("a");
  cluster.assertWhole();
  assertEquals(cluster.asked.get("a")?.length, lost);
});

Deno.test("Transfers.takeOver() refuses a node that lies, says so, and goes on with others", async () => {
  const cluster = new Cluster(["a", "b", "c"]);
  const liar = cluster.sources.get("b");
  assert(liar);
  const answer = liar.answerScan.bind(liar);
  liar.answerScan = (bytes) => answer(bytes).slice(0, -1);
  await cluster.transfers.takeOver("a");
  cluster.assertWhole();
  assertEquals(cluster.refused, ["b"]);
});

Deno.test("Transfers.takeOver() brings two nodes together that both have much of their own", async () => {
  const cluster = new Cluster(["a"]);
  const a = cluster.sources.get("a");
  assert(a);
  for (let i = 0; i < COUNT; i++) {
    cluster.newcomer.write(`own ${i}`, VALUE, false);
  }
  // Both have begun: neither is whole, and neither goes on.
  const answer = a.answerScan.bind(a);
  let count = 0;
  a.answerScan = (bytes) => answer(bytes, ++count < 3);
  await cluster.transfers.takeOver("a");
  assertEquals(cluster.newcomer.marks().get("a@1"), COUNT + 100);
  assertEquals(cluster.newcomer.entries.live.size, 2 * COUNT - 100);
});

Deno.test("Transfers.takeOver() loses nothing that is written or deleted at the sources meanwhile", async () => {
  const cluster = new Cluster(["a", "b"]);
  const [a, b] = [cluster.sources.get("a"), cluster.sources.get("b")];
  assert(a && b);
  let n = 0;
  cluster.asking = () => {
    for (const source of [a, b]) {
      source.write(`live ${n++}`, n, false);
      source.write(`key ${997 * n % COUNT}`, undefined, true);
    }
    for (const [from, to] of [[a, b], [b, a]] as const) {
      const delta = from.takeDelta(false);
      if (delta) to.receive(delta.slice());
    }
  };
  await cluster.transfers.takeOver("a");
  await cluster.transfers.takeOver("b");
  assertEquals(cluster.newcomer.entries.digest(), a.entries.digest());
  assertEquals(b.entries.digest(), a.entries.digest());
});

Deno.test("Transfers.takeOver() tells of other contents under the same writes, and repairs them", async () => {
  for (const isMissingHere of [true, false]) {
    const cluster = new Cluster(["a"]);
    await cluster.transfers.takeOver("a");
    const source = cluster.sources.get("a");
    assert(source);
    const victim = isMissingHere ? cluster.newcomer : source;
    victim.entries.drop(victim.entries.find("key 777"));
    await cluster.transfers.takeOver("a");
    assertEquals(cluster.diverged, 1);
    await cluster.transfers.takeOver("a");
    assertEquals(cluster.newcomer.entries.live.get("key 777"), VALUE);
    // It is told once, until it is over.
    assertEquals(cluster.diverged, 1);
    if (isMissingHere) cluster.assertWhole();
  }
});

/** A newcomer that is killed once it has asked for so many pages, and starts again. */
async function killed(pages: number): Promise<Cluster> {
  const cluster = new Cluster(["a", "b", "c"]);
  let count = 0;
  cluster.asking = () => {
    if (++count === pages) { for (const id of "abc") cluster.gone.add(id); }
  };
  await assertRejects(() => cluster.transfers.takeOver("a"), Error, "is gone");
  cluster.asking = () => {};
  cluster.gone.clear();
  assertEquals(cluster.newcomer.marks().get("a@1") ?? 0, 0);
  cluster.restart();
  return cluster;
}

Deno.test("Transfers.takeOver() goes on where a newcomer was that was killed, with what it had", async () => {
  for (const pages of [40, 150]) {
    const cluster = await killed(pages);
    const { bytes } = cluster;
    const had = cluster.newcomer.entries.live.size;
    assert(had > 0 && had < COUNT - 100, `${had}`);
    await cluster.transfers.takeOver("b");
    const source = cluster.sources.get("a");
    assertEquals(cluster.newcomer.entries.digest(), source?.entries.digest());
    assertEquals(cluster.newcomer.marks().get("a@1"), COUNT + 100);
    assert(!cluster.newcomer.isPartial && !cluster.transfers.isNew);
    const whole = await cluster.whole();
    const share = 1 - had / (COUNT - 100);
    const after = cluster.bytes - bytes;
    assert(after <= (share + 0.02) * whole, `${after} of ${whole}, ${share}`);
    // Not all comes from one node.
    assert(cluster.asked.size > 1);
    await cluster.transfers.takeOver("a");
    assertEquals(cluster.diverged, 0);
  }
});

Deno.test("Transfers.takeOver() brings nothing back that was deleted while a newcomer was down that has a part", async () => {
  const cluster = await killed(120);
  const [a, b, c] = [..."abc"].map((id) => cluster.sources.get(id));
  assert(a && b && c);
  const deleted = [...cluster.newcomer.entries.live.keys()].slice(0, 50);
  for (const key of deleted) a.write(key, undefined, true);
  const delta = a.takeDelta(false);
  assert(delta);
  for (const source of [b, c]) source.receive(delta.slice());
  // Nobody remembers the deletions, nor how far they were with the transfer.
  cluster.now += 3_600_000;
  for (const source of [a, b, c]) {
    source.entries.bury(10_000);
    source.rest();
  }
  assertEquals(a.entries.tombstones, 0);
  await cluster.transfers.takeOver("a");
  for (const key of deleted) assert(!cluster.newcomer.entries.live.has(key));
  assertEquals(cluster.newcomer.entries.digest(), a.entries.digest());
  await cluster.transfers.takeOver("b");
  assertEquals(cluster.diverged, 0);
});

Deno.test("Transfers.takeOver() of a newcomer that was killed asks for few ranges, though it has something everywhere", async () => {
  const cluster = await killed(120);
  const had = cluster.newcomer.entries.live.size;
  const b = cluster.sources.get("b");
  assert(b);
  for (let i = 0; i < 3_000; i++) b.write(`live ${i}`, i, false);
  const delta = b.takeDelta(false);
  assert(delta);
  for (const id of ["a", "c"]) cluster.sources.get(id)?.receive(delta.slice());
  cluster.newcomer.receive(delta.slice());
  assertEquals(cluster.newcomer.marks().get("b@1"), 3_000);
  const before = cluster.bytes;
  await cluster.transfers.takeOver("a");
  assertEquals(cluster.newcomer.entries.digest(), b.entries.digest());
  let asked = 0;
  for (const starts of cluster.asked.values()) asked += starts.length;
  assert(asked < 500, `${asked} pages`);
  const [after, whole] = [cluster.bytes - before, await cluster.whole()];
  assert(after <= 0.65 * whole, `${after} of ${whole}; ${asked} pages, ${had}`);
});
