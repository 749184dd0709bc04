/**
 * Random writes on three nodes, whose messages are lost, doubled and reordered: the same
 * ones each time. Others, and more of them:
 * `deno test node/state/laws_test.ts -- --cases=100000 --seed=2`.
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { Behaviour } from "../behaviour.ts";
import { Entries, type Write } from "./_entries.ts";
import { Mesh } from "./_mesh_test.ts";
import { Replicated } from "./_replicated.ts";
import { counter, upDownCounter } from "./counter.ts";
import { map, type ReplicatedMap } from "./map.ts";
import { multiRegister, register } from "./register.ts";
import { set } from "./set.ts";
import type { ReplicatedState } from "./types.ts";

const CASES = { numRuns: given("cases") ?? 300, seed: given("seed") ?? 1 };
const IDS = ["a", "b", "c"];

/** A write, with what decides which one wins. */
interface Made {
  readonly key: string;
  /** `undefined`: it deletes. */
  readonly value: unknown;
  readonly time: number;
  readonly counter: number;
  readonly id: string;
}

/** A kind of replicated state, as a test treats it. */
interface Kind<S extends ReplicatedState> {
  readonly make: () => Behaviour<S>;
  /** Writes something; `n` is another number each time. */
  write(state: S, choice: number, n: number): Omit<Made, keyof Stamped>;
  /** All there is, as a value that can be compared. */
  read(state: S): unknown;
  /** What must be there after all those writes. */
  check(read: unknown, writes: readonly Made[]): void;
}

type Stamped = Pick<Made, "time" | "counter" | "id">;

const step = fc.record({
  do: fc.integer({ min: 0, max: 11 }),
  node: fc.integer({ min: 0, max: 2 }),
  choice: fc.integer({ min: 0, max: 15 }),
});

function law<S extends ReplicatedState>(name: string, kind: Kind<S>): void {
  Deno.test(`${name} converges over deltas that are lost, doubled and reordered`, async () => {
    const steps = fc.array(step, { maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(steps, (plan) => run(kind, plan)),
      CASES,
    );
  });
}

async function run<S extends ReplicatedState>(
  kind: Kind<S>,
  plan: readonly { do: number; node: number; choice: number }[],
): Promise<void> {
  const mesh = new Mesh();
  const states = mesh.scopes(IDS).map(kind.make());
  const writes: Made[] = [];
  for (const [n, one] of plan.entries()) {
    const state = states[one.node];
    if (!state) continue;
    if (one.do < 5) {
      const made = kind.write(state, one.choice, n);
      writes.push({ ...made, ...stampOf(state) });
    } else if (one.do < 8) {
      mesh.clock.tick(1);
      mesh.deliver(one.choice);
    } else if (one.do === 8) mesh.double(one.choice);
    else if (one.do === 9) mesh.lose(one.choice);
    else if (one.do === 10) mesh.clock.tick(one.choice);
    else await state.sync();
  }
  mesh.queue.length = 0;
  for (const state of [...states, ...states]) await state.sync();
  const [first, ...rest] = states.map((state) => kind.read(state));
  for (const other of rest) assertEquals(other, first);
  assertEquals(new Set(states.map((state) => state.hash())).size, 1);
  kind.check(first, writes);
  mesh.close();
}

function stampOf(state: ReplicatedState): Stamped {
  assert(state instanceof Replicated);
  const { clock, self } = state.replication.store;
  return { time: clock.time, counter: clock.counter, id: self.id };
}

/** The write that wins, of each key. */
function winners(writes: readonly Made[]): Map<string, Made> {
  const last = new Map<string, Made>();
  for (const made of writes) {
    const other = last.get(made.key);
    const order = other
      ? made.time - other.time || made.counter - other.counter ||
        (made.id < other.id ? -1 : 1)
      : 1;
    if (order > 0) last.set(made.key, made);
  }
  return last;
}

function sum(writes: readonly Made[]): number {
  return writes.reduce((total, { value }) => total + Number(value), 0);
}

law<ReplicatedMap<number>>("map()", {
  make: () => map<number>(),
  write(state, choice, n) {
    const key = `key ${choice % 4}`;
    if (choice < 4) {
      state.delete(key);
      return { key, value: undefined };
    }
    state.set(key, n);
    return { key, value: n };
  },
  read: (state) => Object.fromEntries([...state.entries()].sort()),
  check(read, writes) {
    const expected = [...winners(writes).values()]
      .filter(({ value }) => value !== undefined)
      .map(({ key, value }) => [key, value]);
    assertEquals(read, Object.fromEntries(expected));
  },
});

law("register()", {
  make: () => register<number>(),
  write(state, _choice, n) {
    state.set(n);
    return { key: "", value: n };
  },
  read: (state) => state.get(),
  check: (read, writes) => assertEquals(read, winners(writes).get("")?.value),
});

law("multiRegister()", {
  make: () => multiRegister<number>(),
  write(state, _choice, n) {
    state.set(n);
    return { key: "", value: n };
  },
  read: (state) => state.get().sort((a, b) => a - b),
  check(read, writes) {
    assert(Array.isArray(read));
    // The last one cannot have been known to any other.
    const last = winners(writes).get("");
    assertEquals(read.includes(last?.value), last !== undefined);
    for (const value of read) {
      assert(writes.some((made) => made.value === value));
    }
  },
});

law("counter()", {
  make: () => counter(),
  write(state, choice) {
    state.add(choice);
    return { key: "", value: choice };
  },
  read: (state) => state.value,
  check: (read, writes) => assertEquals(read, sum(writes)),
});

law("upDownCounter()", {
  make: () => upDownCounter(),
  write(state, choice) {
    state.add(choice - 8);
    return { key: "", value: choice - 8 };
  },
  read: (state) => state.value,
  check: (read, writes) => assertEquals(read, sum(writes)),
});

law("set()", {
  make: () => set(),
  write(state, choice) {
    const key = `element ${choice % 4}`;
    if (choice < 6) {
      state.delete(key);
      return { key, value: undefined };
    }
    state.add(key);
    return { key, value: true };
  },
  read: (state) => [...state.values()].sort(),
  check(read, writes) {
    assert(Array.isArray(read));
    // An addition that is the last write of its element is known to no removal.
    for (const [key, { value }] of winners(writes)) {
      if (value === true) assert(read.includes(key));
    }
    for (const key of read) {
      assert(writes.some((made) => made.key === key && made.value === true));
    }
  },
});

Deno.test("Entries.merge() is associative, commutative and idempotent", () => {
  const write = fc.record({
    key: fc.integer({ min: 0, max: 3 }),
    replica: fc.integer({ min: 0, max: 2 }),
    seq: fc.integer({ min: 1, max: 6 }),
    isDelete: fc.boolean(),
  });
  const orders = fc.array(write, { maxLength: 12 }).chain((writes) =>
    fc.tuple(
      fc.constant(writes),
      fc.shuffledSubarray([...writes, ...writes], {
        minLength: 2 * writes.length,
      }),
    )
  );
  fc.assert(
    fc.property(orders, ([one, other]) => {
      const [a, b] = [merged(one), merged(other)];
      assertEquals(a.digest(), b.digest());
      assertEquals(
        new Map([...a.live].sort()),
        new Map([...b.live].sort()),
      );
      assertEquals(a.merkle().digest(0, 0), b.merkle().digest(0, 0));
      assertEquals(a.tombstones, b.tombstones);
    }),
    CASES,
  );
});

/** What is left of some writes; a write is told by its replica and number. */
function merged(
  writes: readonly {
    key: number;
    replica: number;
    seq: number;
    isDelete: boolean;
  }[],
): Entries {
  const entries = new Entries(0.5);
  for (const { key, replica, seq, isDelete } of writes) {
    const write: Write = {
      key: `key ${key}`,
      replica: entries.replicas.intern(`${IDS[replica]}@1`),
      seq: 8 * seq + 4 * Number(isDelete) + key,
      time: seq >> 1,
      counter: 8 * (seq & 1) + 4 * Number(isDelete) + key,
      isDelete,
      value: isDelete ? undefined : `${replica} ${seq}`,
    };
    entries.merge(write);
  }
  return entries;
}

/** The number of an argument `--name=number`; undefined: there is none. */
function given(name: string): number | undefined {
  const text = Deno.args.find((arg) => arg.startsWith(`--${name}=`));
  return text === undefined ? undefined : Number(text.slice(name.length + 3));
}
