/**
 * Stores that write, delete, take over from each other, are killed in the middle and
 * forget deletions, in random orders: in the end all hold the last write of each key, and
 * nothing that was deleted. Each key is written by one of them. More cases than here: `deno test node/state/_transfers_random_test.ts -- --cases=10000`.
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { msgpackr } from "@devts/protocol/msgpackr";
import { Reader } from "./_bytes.ts";
import { readHead } from "./_page.ts";
import { Store } from "./_store.ts";
import { type Page, type Question, Transfers } from "./_transfers.ts";

const ASKED = Deno.args.find((arg) => arg.startsWith("--cases="))?.slice(8);
const CASES = Number(ASKED ?? 40);
const IDS = ["a", "b", "c"] as const;
/** More than a list is told of. */
const FIRST = 400;
const HOUR = 3_600_000;

type Id = typeof IDS[number];

class Stores {
  readonly #stores = new Map<string, Store>();
  readonly #transfers = new Map<string, Transfers>();
  /** Writes in whose place others were made: none of them comes back. */
  readonly #past = new Set<string>();
  /** The last write of each key, as all writes are ordered. */
  readonly #last = new Map<string, { version: string; value: unknown }>();
  /** Answers that still arrive. */
  #answers = Infinity;
  #now = 0;
  #lives = 0;
  /** Transfers that went on with what an earlier life had. */
  resumed = 0;

  constructor() {
    for (const id of IDS) this.#start(id);
    for (let i = 0; i < FIRST; i++) this.write("a", `a ${i}`, i);
    this.tell("a", []);
  }

  store(id: Id): Store {
    const store = this.#stores.get(id);
    assert(store);
    return store;
  }

  /** `undefined`: deletes it. */
  write(id: Id, key: string, value?: number): void {
    const store = this.store(id);
    this.#past.add(`${key} ${store.entries.version(key)}`);
    store.write(key, value, value === undefined);
    const version = store.entries.version(key) ?? "";
    const last = this.#last.get(key);
    if (!last || last.version < version) {
      this.#last.set(key, { version, value });
    }
  }

  /** One deletes what it knows of, and not just by a transfer that was cut. */
  remove(id: Id, key: string): void {
    const { entries } = this.store(id);
    const slot = entries.find(key);
    const mark = entries.replicas.at(entries.originAt(slot))?.mark ?? 0;
    if (!entries.live.has(key) || entries.seqAt(slot) > mark) return;
    this.write(id, key);
  }

  /** What one has written is told to another one. */
  tell(from: Id, to: readonly Id[]): void {
    const delta = this.store(from).takeDelta(false)?.slice();
    if (!delta) return;
    for (const id of to) this.store(id).receive(delta.slice(), from);
  }

  /** One takes over from another one, of whose answers so many arrive. */
  async take(to: Id, from: Id, answers: number): Promise<void> {
    this.#answers = answers;
    try {
      await this.#transfers.get(to)?.takeOver(from);
    } catch (error) {
      assert(error instanceof Error && error.message === "lost", `${error}`);
    } finally {
      this.#answers = Infinity;
    }
  }

  /** It is killed, and starts again with what it had. */
  restart(id: Id): void {
    const { entries } = this.store(id);
    this.#start(id);
    const store = this.store(id);
    for (const { id, mark, floor } of entries.replicas) {
      const replica = store.restore(id);
      replica.mark = mark;
      replica.floor = floor;
    }
    for (let slot = 0; slot < entries.slots; slot++) {
      const key = entries.keyAt(slot);
      const origin = entries.replicas.at(entries.originAt(slot));
      if (key === undefined || !origin) continue;
      store.entries.merge({
        key,
        replica: store.restore(origin.id),
        seq: entries.seqAt(slot),
        time: entries.timeAt(slot),
        counter: entries.counterAt(slot),
        isDelete: entries.isTombstone(slot),
        value: entries.valueAt(slot),
      });
    }
  }

  /** An hour passes, and deletions are forgotten. */
  bury(id: Id): void {
    this.#now += HOUR;
    this.store(id).entries.bury(1_000 + this.#now - HOUR / 4);
    this.store(id).rest();
  }

  /** What all hold once each has heard of everything from everybody. */
  async assertSame(): Promise<void> {
    for (let round = 0; round < 3; round++) {
      for (const to of IDS) {
        for (const from of IDS) {
          if (from !== to) await this.take(to, from, Infinity);
        }
      }
    }
    for (const id of IDS) {
      const { entries } = this.store(id);
      const wrong = [...this.#last].filter(([key, { value }]) => {
        const found = entries.live.get(key);
        if (found === value) return false;
        // A deletion that was forgotten before others heard of it does not undo what its
        // node had not heard of.
        return value !== undefined ||
          this.#past.has(`${key} ${entries.version(key)}`);
      });
      assertEquals(wrong, [], id);
      assertEquals(entries.digest(), this.store("a").entries.digest());
    }
  }

  #start(id: Id): void {
    const store = new Store({
      replica: `${id}@${(++this.#lives).toString(36)}`,
      codec: msgpackr(),
      wallClock: () => 1_000 + this.#now,
      clusterTime: () => 1_000 + this.#now,
      now: () => this.#now,
      // Some twenty entries a page.
      maxValue: 100,
      secret: 0.5,
    });
    const lacking = store.lacking.bind(store);
    store.lacking = (buckets) => {
      this.resumed++;
      return lacking(buckets);
    };
    this.#stores.set(id, store);
    this.#transfers.set(
      id,
      new Transfers({
        store,
        members: () => IDS.filter((one) => one !== id),
        ask: (id, what, question) => this.#ask(id, what, question),
        refused: (_id, error) => {
          throw error;
        },
        // One that forgot a deletion before it heard of what that undid holds it until then.
        diverged: () => {},
        changed: () => {},
        now: () => this.#now,
        isVerified: true,
      }),
    );
  }

  async #ask(id: string, what: Question, question: Uint8Array): Promise<Page> {
    await Promise.resolve();
    if (this.#answers-- <= 0) throw new Error("lost");
    const isNew = this.#transfers.get(id)?.isNew ?? true;
    const store = this.#stores.get(id);
    assert(store);
    const bytes = answer(store, what, question, !isNew).slice();
    const reader = new Reader(bytes);
    return { bytes, reader, head: readHead(reader) };
  }
}

function answer(
  store: Store,
  what: Question,
  question: Uint8Array,
  isWhole: boolean,
): Uint8Array {
  switch (what) {
    case "pull":
      return store.answerPull(readHead(new Reader(question)), isWhole);
    case "scan":
      return store.answerScan(question, isWhole);
    case "hashes":
      return store.answerHashes(question);
    case "buckets":
      return store.answerBuckets(question);
  }
}

Deno.test("Transfers bring stores together whatever was cut, killed and forgotten before", async () => {
  const step = fc.record({
    do: fc.constantFrom(
      "write",
      "delete",
      "take",
      "take",
      "restart",
      "bury",
    ),
    one: fc.constantFrom(...IDS),
    other: fc.constantFrom(...IDS),
    many: fc.nat(40),
  });
  let resumed = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 10, maxLength: 60 }),
      async (steps) => {
        const stores = new Stores();
        // Whoever tells others of its writes has heard of theirs.
        await stores.take("a", "b", Infinity);
        for (const { do: what, one, other, many } of steps) {
          if (what === "write" || what === "delete") {
            for (let i = 0; i < 20; i++) {
              const key = many * 10 + i;
              if (what === "write") stores.write(one, `${one} ${key}`, key + i);
              else stores.remove(one, `${other} ${key}`);
            }
            // It is heard now, or lost.
            stores.tell(one, IDS.filter((id) => id !== one && many % 3 !== 0));
          } else if (what === "restart") stores.restart(one);
          else if (what === "bury") stores.bury(one);
          else if (one !== other) await stores.take(one, other, many);
        }
        await stores.assertSame();
        resumed += stores.resumed;
      },
    ),
    // Always the same ones, unless somebody asks for others.
    { numRuns: CASES, ...ASKED === undefined && { seed: 1 } },
  );
  assert(resumed > CASES / 10, `${resumed}`);
});

Deno.test("Transfers bring nothing back through a node that never saw a deletion which is forgotten", async () => {
  for (const wasThere of [false, true]) {
    const stores = new Stores();
    await stores.take("a", "b", Infinity);
    await stores.take("b", "a", Infinity);
    if (wasThere) await stores.take("c", "a", Infinity);
    // One is away while this happens; another one comes, or is back, when it is over.
    stores.remove("a", "a 0");
    stores.bury("a");
    await stores.take("c", "a", Infinity);
    assert(!stores.store("c").entries.live.has("a 0"));
    await stores.take("b", "c", Infinity);
    assert(!stores.store("b").entries.live.has("a 0"));
    await stores.assertSame();
  }
});
