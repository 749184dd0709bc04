import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import * as v from "valibot";
import { z } from "zod";
import { json } from "@devts/protocol/json";
import type { Codec } from "@devts/protocol";
import { hopRouter } from "@devts/routing/hop";
import { type Contract, contract, type EventsOf } from "./contract.ts";
import { compare } from "./compatibility.ts";
import {
  ContractError,
  DeliveryError,
  RequestError,
  StreamError,
} from "./errors.ts";
import type { NodeParts } from "./types.ts";
import { pass, passFor, START } from "./_support_test.ts";
import {
  incarnationsFrom,
  type Tested,
  virtualWorld,
  type World,
} from "./_world_test.ts";

/** Two nodes, each with its version of the contract, that know each other. */
async function versions<E extends object, F extends object>(
  world: World,
  one: Contract<E>,
  two: Contract<F>,
  parts: Partial<NodeParts> = {},
): Promise<{ ada: Tested<E>; bob: Tested<F> }> {
  const ada = world.add<E>("ada", { contract: one, ...parts });
  const bob = world.add<F>("bob", { contract: two, ...parts });
  await passFor(world.clock, ada.node.listen("memory://ada"));
  await passFor(world.clock, bob.node.listen("memory://bob"));
  await passFor(world.clock, bob.node.join("memory://ada"));
  await pass(world.clock, 2_000);
  return { ada, bob };
}

const SHOP = {
  "user.created": { data: z.object({ email: z.string() }), maxBytes: 64 },
  "price": { data: z.string(), reply: z.number() },
};

Deno.test("contract() refuses what is no rule", () => {
  const broken: unknown = { "~standard": {} };
  assertThrows(
    () => contract({ a: { data: broken as never } }),
    TypeError,
    'Cannot make a contract with "a": `data` is no schema',
  );
  assertThrows(() => contract({ a: { maxBytes: 0 } }), TypeError, "maxBytes");
  assertThrows(() => contract({ a: { version: 0.5 } }), TypeError, "version");
  assertThrows(() => contract({ a: { acks: 0 } }), TypeError, "acks");
  for (const half of [{ opener: z.number() }, { acceptor: z.number() }]) {
    assertThrows(() => contract({ a: half }), TypeError, "has both `opener`");
  }
});

Deno.test("contract() has the same digest for the same rules, in any order", () => {
  const { price, "user.created": created } = SHOP;
  const one = contract({ price, "user.created": created });
  assertEquals(one.digest, contract(SHOP).digest);
  assert(one.digest !== contract({ price }).digest);
});

Deno.test("data that does not fit is refused where it is sent, with the path", async () => {
  await using world = virtualWorld();
  const { ada } = await versions(world, contract(SHOP), contract(SHOP));
  const wrong: object = { email: 7 };
  const error = assertThrows(
    () => ada.node.emit("user.created", wrong as { email: string }),
    TypeError,
  );
  assertEquals(
    error.message,
    'Cannot emit "user.created": its data does not fit the contract: "email": Invalid input: expected string, received number',
  );
  assertThrows(
    () => ada.node.emit("user.created", { email: "x".repeat(99) }),
    RangeError,
    "the contract allows 64",
  );
  const unknown: string = "user.creatde";
  assertThrows(
    () => ada.node.emit(unknown as "price", "x"),
    TypeError,
    'Cannot emit "user.creatde": the contract has nothing of that name',
  );
  assertThrows(() => ada.node.on(unknown as "price", () => 1), TypeError);
});

Deno.test("data that does not fit is refused where it comes in, counted and told", async () => {
  await using world = virtualWorld();
  const { bob } = await versions(world, contract(SHOP), contract(SHOP));
  const wild = world.add("wild");
  await passFor(world.clock, wild.node.join("memory://bob"));
  await pass(world.clock, 2_000);
  const got: unknown[] = [];
  bob.node.on("user.created", (data) => got.push(data));
  bob.node.on("price", (article) => article.length);
  await pass(world.clock, 1_000);
  await wild.node.send("bob", "user.created", { mail: "x" });
  await wild.node.send("bob", "user.created", { email: "y".repeat(99) });
  await wild.node.send("bob", "user.created", { email: "z" });
  const error = await assertRejects(
    () => passFor(world.clock, wild.node.request("bob", "price", 7)),
    RequestError,
  );
  assertEquals(error.reason, "invalid");
  assertEquals(
    error.message,
    'Request "price" to node "bob" failed: its data does not fit the contract: Invalid input: expected string, received number',
  );
  assertEquals(got, [{ email: "z" }]);
  assertEquals(bob.node.counters.invalid, 3);
  const faults = bob.told.flatMap(({ name, event }) =>
    name === "error" ? [event.where] : []
  );
  assertEquals(faults, ["contract", "contract", "contract"]);
  // It goes on as if nothing had been.
  assertEquals(
    await passFor(world.clock, wild.node.request("bob", "price", "tea")),
    3,
  );
});

Deno.test("a reply that does not fit is refused at both ends", async () => {
  await using world = virtualWorld();
  const { ada, bob } = await versions(world, contract(SHOP), contract(SHOP));
  const wild = world.add("wild");
  await passFor(world.clock, wild.node.join("memory://bob"));
  await pass(world.clock, 2_000);
  const wrong: unknown = "three";
  bob.node.on("price", () => wrong as number);
  wild.node.on("price", () => "three");
  await pass(world.clock, 1_000);
  const own = await assertRejects(
    () => passFor(world.clock, ada.node.request("bob", "price", "tea")),
    RequestError,
  );
  assertEquals(own.reason, "handler");
  assertEquals(bob.node.counters.handlerErrors, 1);
  const theirs = await assertRejects(
    () => passFor(world.clock, bob.node.request("wild", "price", "tea")),
    RequestError,
    "its reply does not fit the contract",
  );
  assertEquals(theirs.reason, "invalid");
  assertEquals(bob.node.counters.invalid, 1);
});

Deno.test("handlers get what schemas make of the data", async () => {
  await using world = virtualWorld();
  const rules = {
    order: {
      data: v.object({
        id: v.number(),
        note: v.optional(v.string(), "none"),
      }),
      reply: z.string().transform((text) => text.length),
    },
  };
  const { ada, bob } = await versions(world, contract(rules), contract(rules));
  bob.node.on("order", ({ note }) => note);
  const reply = ada.node.request("bob", "order", { id: 1 });
  assertEquals(await passFor(world.clock, reply), 4);
});

Deno.test("asynchronous schemas are refused", async () => {
  await using world = virtualWorld();
  const rules = {
    slow: { data: z.string().refine(() => Promise.resolve(true)) },
    slower: {
      data: v.pipeAsync(v.string(), v.checkAsync(() => Promise.resolve(true))),
    },
  };
  const { ada } = await versions(world, contract(rules), contract(rules));
  assertThrows(() => ada.node.emit("slow", "x"), TypeError);
  assertThrows(
    () => ada.node.emit("slower", "x"),
    TypeError,
    "its schema is asynchronous",
  );
});

Deno.test("contracts that are the same exchange nothing", async () => {
  await using world = virtualWorld();
  const { ada, bob } = await versions(world, contract(SHOP), contract(SHOP));
  assertEquals(ada.node.counters.sent + bob.node.counters.sent, 0);
});

const OLD = {
  "user.created": { data: z.object({ name: z.string() }) },
  "user.gone": { data: z.object({ name: z.string() }) },
  "user.find": { data: z.string(), reply: z.object({ name: z.string() }) },
};
const NEW = {
  ...OLD,
  "user.created": {
    data: z.object({ name: z.string(), email: z.string() }),
  },
  "user.gone": {
    data: z.object({ name: z.string(), why: z.string().optional() }),
  },
  "user.moved": { data: z.string() },
};

for (
  const [kind, parts] of [["linked", {}], ["relayed", {
    router: hopRouter(),
  }]] as const
) {
  Deno.test(`nodes of two versions name what does not fit, and go on with the rest: ${kind}`, async () => {
    await using world = virtualWorld();
    const { ada, bob } = await versions(
      world,
      contract(OLD),
      contract(NEW),
      parts,
    );
    assertEquals(bob.log.of("warn"), [
      'node "bob": node "ada": "user.created" lacks "email"',
    ]);
    assertEquals(ada.log.of("warn"), [
      'node "ada": node "bob": "user.created" of this node lacks "email"',
    ]);
    const told = bob.told.flatMap(({ name, event }) =>
      name === "incompatible" ? [event] : []
    );
    assertEquals(told, [{
      id: "ada",
      events: [{
        event: "user.created",
        part: "data",
        sender: "peer",
        message: '"user.created" lacks "email"',
      }],
    }]);
    const old: unknown[] = [];
    const young: unknown[] = [];
    ada.node.on("user.created", ({ name }) => old.push(name));
    ada.node.on("user.find", (name) => ({ name }));
    bob.node.on("user.created", ({ email }) => young.push(email));
    bob.node.on("user.gone", ({ name, why }) => young.push([name, why]));
    await pass(world.clock, 2_000);
    // What the old one sends lacks what the new one needs: it is refused, by name.
    assertEquals(await ada.node.emit("user.created", { name: "x" }), {
      nodes: 0,
      dropped: 0,
    });
    const undelivered = await assertRejects(
      () =>
        passFor(world.clock, ada.node.deliver("user.created", { name: "x" })),
      DeliveryError,
    );
    assertEquals(undelivered.outcome.missing, [{
      node: "bob",
      group: null,
      reason: "invalid",
      message:
        'node "bob" does not take it: "user.created" of this node lacks "email"',
    }]);
    await assertRejects(
      () =>
        passFor(
          world.clock,
          ada.node.send("bob", "user.created", { name: "x" }),
        ),
      ContractError,
      'Cannot send "user.created" to node "bob", whose contract differs: "user.created" of this node lacks "email"',
    );
    // The rest goes on, and so does what only the old one can read.
    await ada.node.emit("user.gone", { name: "x" });
    await bob.node.emit("user.created", { name: "y", email: "y@y" });
    const found = bob.node.request("ada", "user.find", "z");
    assertEquals(await passFor(world.clock, found), { name: "z" });
    await pass(world.clock, 1_000);
    assertEquals(old, ["y"]);
    assertEquals(young, [["x", undefined]]);
    assertEquals(bob.node.counters.invalid, 0);
  });
}

Deno.test("the work of a group goes to members whose contract fits, while there are any", async () => {
  await using world = virtualWorld();
  const { ada, bob } = await versions(world, contract(OLD), contract(NEW));
  const cyd = world.add<EventsOf<typeof OLD>>("cyd", {
    contract: contract(OLD),
  });
  const got: string[] = [];
  const options = { group: "mailers" };
  bob.node.on("user.created", ({ email }) => got.push(email), options);
  cyd.node.on("user.created", ({ name }) => got.push(name), options);
  await passFor(world.clock, cyd.node.join("memory://ada", "memory://bob"));
  await pass(world.clock, 2_000);
  for (const name of ["a", "b"]) {
    const outcome = await ada.node.emit("user.created", { name });
    assertEquals(outcome, { nodes: 1, dropped: 0 });
  }
  await passFor(world.clock, ada.node.deliver("user.created", { name: "c" }));
  assertEquals(got, ["a", "b", "c"]);
  assertEquals(bob.node.counters.invalid, 0);

  await passFor(world.clock, cyd.node.close());
  const outcome = await ada.node.emit("user.created", { name: "d" });
  assertEquals(outcome, { nodes: 0, dropped: 0 });
  const error = await assertRejects(
    () => passFor(world.clock, ada.node.deliver("user.created", { name: "d" })),
    DeliveryError,
  );
  const [missed] = error.outcome.missing;
  assertEquals([missed?.group, missed?.reason], ["mailers", "invalid"]);
});

Deno.test("a node without a contract fits one with it", async () => {
  await using world = virtualWorld();
  const ada = world.add("ada", { contract: contract(SHOP) });
  const bob = world.add("bob");
  bob.node.on("price", () => 3);
  await passFor(world.clock, ada.node.listen("memory://ada"));
  await passFor(world.clock, bob.node.join("memory://ada"));
  await pass(world.clock, 60_000);
  const reply = ada.node.request("bob", "price", "tea");
  assertEquals(await passFor(world.clock, reply), 3);
  assertEquals(ada.log.of("warn"), []);
});

Deno.test("a node that tells nonsense of its contract does no harm", async () => {
  await using world = virtualWorld();
  const ada = world.add("ada", { contract: contract(SHOP) });
  const wild = world.add("wild");
  let asked = 0;
  wild.node.on("devts.contract/describe", () => {
    asked++;
    return asked === 1 ? { description: "{" } : { description: 7 };
  });
  await passFor(world.clock, ada.node.listen("memory://ada"));
  await passFor(world.clock, wild.node.join("memory://ada"));
  await pass(world.clock, 60_000);
  assertEquals(asked, 5);
  assertEquals(ada.log.of("warn"), [
    'node "ada": "devts.contract": node "wild" does not tell its contract: it says nothing that can be understood',
  ]);
});

/** A codec of its own, which says so. */
function marked(name: string): Codec {
  const inner = json();
  return {
    name,
    encode: (value) => inner.encode(value),
    decode: (bytes) => inner.decode(bytes),
  };
}

Deno.test("an event has a codec of its own, and its reply, too", async () => {
  await using world = virtualWorld();
  const rules = { photo: { codec: marked("photo/1") }, plain: {} };
  const { ada, bob } = await versions(world, contract(rules), contract(rules));
  const got: unknown[] = [];
  bob.node.on("photo", (data) => {
    got.push(data);
    return [data];
  });
  bob.node.on("plain", (data) => data);
  await pass(world.clock, 1_000);
  await ada.node.emit("photo", { a: 1 });
  const reply = ada.node.request("bob", "photo", "b");
  assertEquals(await passFor(world.clock, reply), ["b"]);
  assertEquals(got, [{ a: 1 }, "b"]);
  // JSON has no bytes: only the node's own codec carries them.
  assertThrows(() => ada.node.emit("photo", new Uint8Array(1)), TypeError);
  const bytes = new Uint8Array([1]);
  const plain = ada.node.request("bob", "plain", bytes);
  assertEquals(await passFor(world.clock, plain), bytes);
  bob.node.on("photo", () => 1, { group: "g" });
  await pass(world.clock, 1_000);
  const outcome = await ada.node.emit("photo", 2, { self: true });
  assertEquals(outcome.nodes, 1);
  await pass(world.clock, 100);
  assertEquals(got.at(-1), 2);
});

Deno.test("an event in a format that a node does not know is refused, by name", async () => {
  await using world = virtualWorld();
  const rules = { photo: { codec: marked("photo/1") } };
  const ada = world.add<EventsOf<typeof rules>>("ada", {
    contract: contract(rules),
  });
  const bob = world.add("bob");
  bob.node.on("photo", () => 1);
  await passFor(world.clock, ada.node.listen("memory://ada"));
  await passFor(world.clock, bob.node.join("memory://ada"));
  await pass(world.clock, 2_000);
  await assertRejects(
    () => passFor(world.clock, ada.node.request("bob", "photo", 1)),
    RequestError,
    'Request "photo" to node "bob" failed: its data has the format "photo/1", for which this node has no codec',
  );
  assertEquals(bob.node.counters.invalid, 1);
});

Deno.test("compare() finds what is sure to fail, and passes what it cannot decide", () => {
  const of = (schema: z.ZodType): string =>
    contract({ e: { data: schema } }).description;
  const faults = (theirs: z.ZodType, mine: z.ZodType): string[] =>
    compare(of(mine), of(theirs)).filter(({ sender }) => sender === "peer")
      .map(({ message }) => message);
  assertEquals(faults(z.number(), z.string()), [
    '"e" has data of type number, not string',
  ]);
  assertEquals(faults(z.int(), z.number()), []);
  assertEquals(faults(z.enum(["a"]), z.enum(["b"])), [
    '"e" has data with no value in common',
  ]);
  assertEquals(faults(z.enum(["a", "b"]), z.enum(["b", "c"])), []);
  assertEquals(
    faults(
      z.object({ a: z.object({ b: z.number() }) }),
      z.object({ a: z.object({ b: z.string() }) }),
    ),
    ['"e" has "a.b" of type number, not string'],
  );
  assertEquals(
    faults(z.object({ a: z.string() }), z.strictObject({})),
    ['"e" has "a", which is not allowed'],
  );
  assertEquals(
    faults(z.array(z.object({})), z.array(z.object({ a: z.string() }))),
    ['"e" lacks "*.a"'],
  );
  assertEquals(
    faults(z.object({}), z.object({ a: z.string().default("x") })),
    [],
  );
  assertEquals(faults(z.union([z.string(), z.number()]), z.number()), []);
  assertEquals(faults(z.union([z.string(), z.null()]), z.number()), [
    '"e" has data of type string or null, not number',
  ]);
  assertEquals(faults(z.date(), z.string()), []);
  const numbered = (version: number): string =>
    contract({ e: { version } }).description;
  assertEquals(
    compare(numbered(1), numbered(2)).map(({ message }) => message)[0],
    '"e" has the version 2, and this node has 1',
  );
  assertThrows(() => compare(numbered(1), "{"), SyntaxError);
  assertThrows(() => compare(numbered(1), "[]"), SyntaxError);
  assertEquals(compare(numbered(1), '{"e":{"data":{"$ref":"#"}}}'), []);
});

Deno.test("deliver(), gather() and events() keep to the contract, and carry headers", async () => {
  await using world = virtualWorld();
  const rules = { ...SHOP, photo: { codec: marked("photo/1") } };
  const { ada, bob } = await versions(world, contract(rules), contract(rules), {
    middleware: [{
      send(event, next) {
        event.headers.set("kind", event.kind);
        return next();
      },
    }],
  });
  const got: unknown[] = [];
  bob.node.on("photo", (data, { headers, delivery }) => {
    got.push([data, headers.get("kind"), delivery !== undefined]);
  });
  bob.node.on("price", (article) => article.length);
  const feed = bob.node.events("user.created");
  await pass(world.clock, 2_000);
  const delivered = ada.node.deliver("photo", [1]);
  const { acknowledged } = await passFor(world.clock, delivered);
  assertEquals(acknowledged.map(({ node }) => node), ["bob"]);
  assertEquals(got, [[[1], "deliver", true]]);
  const wrong: object = {};
  assertThrows(
    () => ada.node.deliver("user.created", wrong as { email: string }),
    TypeError,
    'Cannot deliver "user.created": its data does not fit the contract',
  );
  const gathering = ada.node.gather("price", "tea");
  const first = await passFor(world.clock, gathering.next());
  assertEquals(first.value, { from: "bob", data: 3 });
  gathering[Symbol.dispose]();
  await ada.node.emit("user.created", { email: "x" });
  await pass(world.clock, 100);
  const { value } = await passFor(world.clock, feed.next());
  assertEquals(value?.data.email, "x");
  feed[Symbol.dispose]();
});

Deno.test("an event that is to be acknowledged is delivered, as its contract says", async () => {
  await using world = virtualWorld();
  // Without their types, which would not let the wrong calls compile.
  const parts = { contract: contract({ paid: { acks: "quorum" } }) };
  const ada = world.add("ada", parts);
  await passFor(world.clock, ada.node.listen("memory://ada"));
  for (const id of ["bob", "cyd", "dan"]) {
    const { node } = world.add(id, parts);
    // Of three, one does not end.
    node.on("paid", () => id === "dan" ? new Promise(() => {}) : 1);
    await passFor(world.clock, node.join("memory://ada"));
  }
  await pass(world.clock, 1_000);
  assertThrows(
    () => ada.node.emit("paid", 7),
    TypeError,
    'Cannot emit "paid": the contract wants it acknowledged; use `deliver` or `request`',
  );
  assertThrows(() => ada.node.send("bob", "paid", 7), TypeError);
  const { acknowledged } = await passFor(
    world.clock,
    ada.node.deliver("paid", 7),
  );
  assertEquals(acknowledged.map(({ node }) => node), ["bob", "cyd"]);
  await assertRejects(
    () =>
      passFor(
        world.clock,
        ada.node.deliver("paid", 7, { acks: "all", timeout: 1_000 }),
      ),
    DeliveryError,
  );
});

Deno.test("a delivery that does not fit is refused, and its outcome says why", async () => {
  await using world = virtualWorld();
  const { bob } = await versions(world, contract(SHOP), contract(SHOP));
  const wild = world.add("wild");
  await passFor(world.clock, wild.node.join("memory://bob"));
  bob.node.on("user.created", () => {});
  await pass(world.clock, 2_000);
  const error = await assertRejects(
    () => passFor(world.clock, wild.node.deliver("user.created", 7)),
    DeliveryError,
  );
  const [missed] = error.outcome.missing;
  assertEquals(missed?.reason, "invalid");
  assert(missed?.message.includes("does not fit the contract"));
  assertEquals(bob.node.counters.invalid, 1);
});

Deno.test("messages of a conversation are checked at both ends", async () => {
  await using world = virtualWorld();
  const rules = {
    count: { opener: z.number(), acceptor: z.object({ sum: z.number() }) },
  };
  const { ada, bob } = await versions(world, contract(rules), contract(rules));
  bob.node.onOpen("count", async (stream) => {
    let sum = 0;
    for await (const number of stream) sum += number;
    await stream.send({ sum });
    await stream.close();
  });
  const stream = await passFor(world.clock, ada.node.open("bob", "count"));
  await stream.send(1);
  await stream.send(2);
  const text: unknown = "three";
  await assertRejects(() => stream.send(text as number), TypeError, "number");
  await passFor(world.clock, stream.close());
  assertEquals(await passFor(world.clock, stream.receive()), { sum: 3 });

  const wild = world.add("wild");
  await passFor(world.clock, wild.node.join("memory://bob"));
  const other = await passFor(world.clock, wild.node.open("bob", "count"));
  const failed = other.closed.catch((error) => error);
  await other.send("three");
  const error = await passFor(world.clock, failed);
  assert(error instanceof StreamError);
  assert(error.message.includes("its message does not fit the contract"));
  assertEquals(bob.node.counters.invalid, 1);
  // An event is no conversation, and the other way around.
  const name: string = "cuont";
  assertThrows(() => ada.node.open("bob", name as "count"), TypeError);
});

Deno.test("a node that comes back with another version of the contract is compared anew", async () => {
  await using world = virtualWorld();
  const { ada, bob } = await versions(world, contract(OLD), contract(NEW));
  await assertRejects(
    () =>
      passFor(world.clock, ada.node.send("bob", "user.created", { name: "x" })),
    ContractError,
  );
  ada.node.update({ changed: true });
  await passFor(world.clock, bob.node.close());
  await pass(world.clock, 1_000);
  const back = world.add<EventsOf<typeof OLD>>("bob", {
    contract: contract(OLD),
    incarnations: incarnationsFrom(START + 1_000_000),
  });
  let handled = 0;
  back.node.on("user.created", () => handled++);
  await passFor(world.clock, back.node.join("memory://ada"));
  await pass(world.clock, 2_000);
  await passFor(
    world.clock,
    ada.node.send("bob", "user.created", { name: "x" }),
  );
  await pass(world.clock, 100);
  assertEquals(handled, 1);
});

Deno.test("compare() makes something of any description, or a SyntaxError", () => {
  const keys = [
    ...["type", "properties", "required", "items", "anyOf", "oneOf", "enum"],
    ...["const", "additionalProperties", "$ref", "__proto__", "email"],
  ];
  const { schema } = fc.letrec((tie) => ({
    schema: fc.oneof(
      { maxDepth: 6, depthSize: "small" },
      fc.constantFrom(null, "object", "string", 7, true),
      fc.array(tie("schema"), { maxLength: 4 }),
      fc.dictionary(fc.constantFrom(...keys), tie("schema"), { maxKeys: 6 }),
    ),
  }));
  const own = contract(SHOP).description;
  fc.assert(fc.property(schema, schema, (data, reply) => {
    const rule = { data, reply, codec: reply, version: data };
    const theirs = JSON.stringify({ "user.created": rule, price: rule });
    for (const { event, message } of compare(own, theirs)) {
      assert(event in SHOP);
      assert(message.startsWith(`"${event}" `));
      assert(message.length <= 500);
    }
  }));
  const deep = `{"price":{"data":${
    '{"anyOf":['.repeat(5_000) + "{}" + "]}".repeat(5_000)
  }}}`;
  assertEquals(compare(own, deep), []);
});
