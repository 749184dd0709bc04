import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import type { Behaviour, Scope } from "./behaviour.ts";
import { Node } from "./node.ts";
import { pass, passFor } from "./_support_test.ts";
import { pair, virtualWorld } from "./_world_test.ts";

interface Tally {
  add(count: number): void;
  total(): Promise<number[]>;
  close(): Promise<void>;
}

interface Events {
  added(count: number): void;
  total(): number;
}

/** Counts what it and those of its name on other nodes add. */
const tally: Behaviour<Tally, Events> = (scope) => {
  let total = 0;
  scope.on("added", (count) => {
    total += count;
  });
  scope.on("total", () => total);
  return {
    add(count): void {
      total += count;
      scope.emit("added", count);
    },
    async total(): Promise<number[]> {
      const ids = [scope.id, ...scope.members.keys()];
      return await Promise.all(ids.map((id) => scope.request(id, "total")));
    },
    close: () => scope.close(),
  };
};

Deno.test("Node.use() keeps behaviours of two names apart", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  const red = one.node.use("red", tally);
  const blue = one.node.use("blue", tally);
  two.node.use("red", tally);
  two.node.use("blue", tally);
  await pass(world.clock, 0);
  red.add(1);
  blue.add(10);
  await pass(world.clock, 100);
  assertEquals(await passFor(world.clock, red.total()), [1, 1]);
  assertEquals(await passFor(world.clock, blue.total()), [10, 10]);
});

Deno.test("Node.use() keeps a behaviour apart from the events of the node", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  const heard: unknown[] = [];
  two.node.on("added", (data) => heard.push(data));
  one.node.use("red", tally).add(1);
  await pass(world.clock, 100);
  assertEquals(heard, []);
});

Deno.test("Scope.use() makes behaviours of behaviours, which end with theirs", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  const ended: string[] = [];
  const inner: Behaviour<Scope> = (scope) => {
    scope.defer(() => ended.push(scope.name));
    return scope;
  };
  const outer: Behaviour<Scope> = (scope) => {
    scope.defer(() => ended.push(scope.name));
    return scope.use("inner", inner);
  };
  const scope = one.node.use("outer", outer);
  const heard: unknown[] = [];
  two.node.on("outer/inner/hello", (data) => heard.push(data));
  await pass(world.clock, 0);
  scope.emit("hello", 1);
  await pass(world.clock, 100);
  assertEquals(heard, [1]);
  await passFor(world.clock, one.node.close());
  assertEquals(ended, ["outer/inner", "outer"]);
});

Deno.test("Scope.close() ends what was registered, and frees the name", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  const first = one.node.use("red", tally);
  await first.close();
  await first.close();
  const failed = passFor(world.clock, two.node.request("ada", "red/total"));
  await assertRejects(() => failed, Error, "red/total");
  one.node.use("red", tally).add(5);
  const total = two.node.request("ada", "red/total");
  assertEquals(await passFor(world.clock, total), 5);
});

Deno.test("Node.use() refuses a name that is in use or malformed", async () => {
  await using world = virtualWorld();
  const { node } = world.add("ada");
  node.use("red", tally);
  assertThrows(
    () => node.use("red", tally),
    TypeError,
    'Cannot use "red": there is a behaviour of that name',
  );
  for (const name of ["", "a/b", "x".repeat(65)]) {
    assertThrows(() => node.use(name, tally), TypeError, "1 to 64 characters");
  }
});

Deno.test("Node.use() undoes what a behaviour did that throws", async () => {
  await using world = virtualWorld();
  const { node } = world.add("ada");
  let ended = 0;
  function broken(scope: Scope): never {
    scope.on("event", () => {});
    scope.defer(() => ended++);
    throw new Error("no luck");
  }
  assertThrows(() => node.use("red", broken), Error, "no luck");
  await pass(world.clock, 0);
  assertEquals(ended, 1);
  node.use("red", tally);
});

Deno.test("Node.close() lets behaviours send, and waits for their cleanup", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  const heard: unknown[] = [];
  two.node.on("late/bye", (data) => heard.push(data));
  await pass(world.clock, 0);
  let cleaned = false;
  one.node.use("late", (scope) => {
    scope.defer(async () => {
      scope.emit("bye", "ada");
      assert(scope.signal.aborted);
      await new Promise<void>((resolve) => world.clock.after(2_000, resolve));
      cleaned = true;
    });
  });
  await passFor(world.clock, one.node.close());
  assert(cleaned);
  assertEquals(heard, ["ada"]);
  assertThrows(() => one.node.use("red", tally), TypeError, "closed");
});

Deno.test("Node.close() ends within 5 s whatever a behaviour does", async () => {
  await using world = virtualWorld();
  const { node, told } = world.add("ada");
  node.use("stuck", (scope) => scope.defer(() => new Promise(() => {})));
  node.use("broken", (scope) => {
    scope.defer(() => {
      throw new Error("no luck");
    });
  });
  node.use("closing", (scope) => scope.defer(() => void node.close()));
  const start = world.clock.now();
  await passFor(world.clock, node.close());
  assert(world.clock.now() - start <= 5_000);
  const [fault] = told.flatMap((one) =>
    one.name === "error" ? [one.event] : []
  );
  assertEquals(fault?.where, "behaviour");
  assertStringIncludes(fault?.message ?? "", "no luck");
});

Deno.test("Node.use() serves a class that extends Node", async () => {
  await using world = virtualWorld();
  class Counting extends Node {
    readonly tally: Tally = this.use("tally", tally);
  }
  const node = new Counting(world.parts("ada"));
  node.tally.add(3);
  assertEquals(await passFor(world.clock, node.tally.total()), [3]);
  await passFor(world.clock, node.close());
});

Deno.test("Node.use() types the events of a behaviour", async () => {
  await using world = virtualWorld();
  const { node } = world.add("ada");
  node.use("typed", (scope: Scope<Events>) => {
    // @ts-expect-error: the data is a number
    assertThrows(() => scope.emit("added", Symbol("none")), TypeError);
    // @ts-expect-error: there is no such event
    scope.on("removed", () => {});
  });
});
