/** Members that tell nonsense to whole nodes, and states that do not fit each other. */
import { assert, assertEquals } from "@std/assert";
import { msgpackr } from "@devts/protocol/msgpackr";
import { pass, passFor, passUntil } from "../_support_test.ts";
import { type Tested, virtualWorld, type World } from "../_world_test.ts";
import type { Behaviour, Scope } from "../behaviour.ts";
import { ValueCodec, Writer } from "./_bytes.ts";
import { EMPTY, type Head, writeEntry, writeHead } from "./_page.ts";
import { counter } from "./counter.ts";
import { map, type ReplicatedMap } from "./map.ts";
import { multiRegister, register } from "./register.ts";
import { set } from "./set.ts";
import type { ReplicatedState } from "./types.ts";

const NOON = Date.UTC(2026, 0, 1);
const values = new ValueCodec(msgpackr());

/** A message with one write, as somebody may make it up. */
function message(head: Partial<Head>, seq: number): Uint8Array {
  const writer = new Writer(256);
  writeHead(writer, { ...EMPTY, wallClock: NOON, ...head });
  if (seq > 0) {
    writeEntry(writer, values, 0, seq, NOON, 0, `forged ${seq}`, false, "lie");
  }
  return writer.copy();
}

/** What a liar says and hears as the map of the others. */
const lying: Behaviour<Scope> = (scope) => scope;

async function start<T>(
  world: World,
  id: string,
  name: string,
  behaviour: Behaviour<T>,
): Promise<{ tested: Tested<object>; state: T }> {
  const tested = world.add<object>(id);
  const state = tested.node.use(name, behaviour);
  await passFor(world.clock, tested.node.listen(`memory://${id}`));
  if (id !== "a") await passFor(world.clock, tested.node.join("memory://a"));
  await pass(world.clock, 1_000);
  return { tested, state };
}

function faultsOf({ told }: Tested<object>): string[] {
  return told.flatMap((one) => one.name === "error" ? [one.event.message] : []);
}

Deno.test("map() takes no writes of one node from another one, and merges nothing of them", async () => {
  await using world = virtualWorld();
  const a = await start(world, "a", "cart", map<unknown>());
  const b = await start(world, "b", "cart", map<unknown>());
  const liar = await start(world, "liar", "cart", lying);
  await b.state.set("true", 1);
  await pass(world.clock, 100);
  const [id = ""] = [...b.state.version("true")?.matchAll(/b@\w+/g) ?? []]
    .map(String);
  assert(id.startsWith("b@"));
  liar.state.send(
    "a",
    "delta",
    message({ spans: [{ id, from: 1, to: 2 }] }, 2),
  );
  await pass(world.clock, 1_000);
  assertEquals([...a.state.keys()], ["true"]);
  const why = `it tells of writes of "${id}" as its own`;
  assert(faultsOf(a.tested).some((fault) => fault.includes(why)));
  // What the other one writes as its second is taken.
  await b.state.set("truth", 2);
  await pass(world.clock, 100);
  assertEquals(a.state.get("truth"), 2);
});

Deno.test("map() asks nobody for writes of others that it is to hold", async () => {
  await using world = virtualWorld();
  await start(world, "a", "cart", map<unknown>());
  const liar = await start(world, "liar", "cart", lying);
  let pulls = 0;
  liar.state.on("pull", () => void pulls++);
  const hold = (id: string): void => {
    const writer = new Writer(96);
    writer.text(id);
    writer.u64(5);
    liar.state.send("a", "hold", writer.copy());
  };
  await pass(world.clock, 1);
  for (let i = 0; i < 100; i++) hold(`other@${i}`);
  await pass(world.clock, 100);
  assert(pulls <= 1, `${pulls}`);
});

Deno.test("map() gives up a node whose pages have no end, and takes over from others", async () => {
  for (const seq of [0, 1]) {
    await using world = virtualWorld();
    const a = await start(world, "a", "cart", map<unknown>());
    const liar = await start(world, "liar", "cart", lying);
    let asked = 0;
    liar.state.on("pull", () => {
      asked++;
      // Never the last one, and always the same.
      const spans = [{ id: "x@1", from: 0, to: seq }];
      return message({ spans }, seq);
    });
    await a.state.set("x", 1);
    await pass(world.clock, 10_000);
    const b = await start(world, "b", "cart", map<unknown>());
    await passFor(world.clock, b.state.sync());
    await pass(world.clock, 10_000);
    assertEquals(b.state.get("x"), 1);
    assert(asked > 2 && asked < 100, `${asked}`);
    const why = 'Cannot take over from "liar": it does not end';
    assert(faultsOf(a.tested).some((fault) => fault.includes(why)));
    assert(b.state.counters.refused > 0);
  }
});

Deno.test("states of different kinds under one name do each other no harm", async () => {
  const kinds: Record<string, () => Behaviour<ReplicatedState>> = {
    map: () => map(),
    register: () => register(),
    multiRegister: () => multiRegister(),
    counter: () => counter(),
    set: () => set(),
  };
  await using world = virtualWorld();
  const { clock } = world;
  const states: ReplicatedState[] = [];
  const nodes: Tested<object>[] = [];
  for (const kind of Object.values(kinds)) {
    const id = String.fromCharCode(97 + nodes.length);
    const { tested, state } = await start(world, id, "x", kind());
    nodes.push(tested);
    states.push(state);
    assert("watch" in state && typeof state.watch === "function");
    state.watch(() => void read(state));
  }
  const write = async (): Promise<void> => {
    for (const state of states) {
      if ("add" in state && typeof state.add === "function") {
        await state.add("value" in state ? 1 : "element");
      } else if ("delete" in state && "set" in state) {
        const entries = state as ReplicatedMap<unknown>;
        await entries.set("__proto__", { departed: [null, -1, "x"] });
        await entries.set("", [1, 2, 3]);
        await entries.set("a\0b", null);
      } else if ("set" in state && typeof state.set === "function") {
        await state.set("text");
      }
      await pass(clock, 100);
    }
  };
  await write();
  await pass(clock, 400_000);
  await write();
  await passUntil(
    clock,
    () => new Set(states.map((state) => state.hash())).size === 1,
  );
  for (const state of states) read(state);
  for (const tested of nodes) assertEquals(faultsOf(tested), []);
});

/** Whatever a program reads of a state. */
function read(state: ReplicatedState): unknown[] {
  const found: unknown[] = [state.hash(), state.counters];
  if ("value" in state) found.push(state.value);
  if ("values" in state && typeof state.values === "function") {
    found.push(...state.values());
  }
  if ("entries" in state && typeof state.entries === "function") {
    found.push(...state.entries());
  }
  if ("get" in state && typeof state.get === "function") {
    found.push(state.get("x"));
  }
  return found;
}
