/** What compiles with a contract is what is tested here, as in `types_test.ts`. */
import { assertEquals } from "@std/assert";
import * as v from "valibot";
import { z } from "zod";
import { json } from "@devts/protocol/json";
import { contract, type EventsOf } from "./contract.ts";
import type { Behaviour } from "./behaviour.ts";
import type { Middleware } from "./middleware.ts";
import type { Node } from "./node.ts";

const RULES = {
  "user.created": { data: z.object({ email: z.string() }), maxBytes: 1_024 },
  "user.find": { data: v.string(), reply: v.object({ email: v.string() }) },
  // What is sent is text; what arrives is its length.
  "length": {
    data: z.string().transform((text) => text.length),
    reply: z.number().transform((number) => `${number}`),
  },
  "photo": { codec: json() },
  "paid": { data: z.number(), acks: 2 },
  "upload": { opener: z.instanceof(Uint8Array), acceptor: z.number() },
};

type Shop = EventsOf<typeof RULES>;

/** Never called: its lines compile or, where they say so, do not. */
async function correct(node: Node<Shop>): Promise<void> {
  node.emit("user.created", { email: "x" }, { self: true });
  node.on("user.created", ({ email }, { headers }) => {
    const _email: string = email;
    const _header: string | undefined = headers.get("x");
  });
  node.on("user.created", ({ email }) => email, { group: "mailers" });
  node.on("user.find", (name) => ({ email: name }));
  const { email } = await node.request("id", "user.find", "x");
  const _email: string = email;
  node.on("length", (length) => length + 1);
  const _text: string = await node.request("id", "length", "text");
  const _outcome = await node.deliver("user.created", { email: "x" });
  for await (const { data } of node.gather("user.find", "x")) {
    const _found: string = data.email;
  }
  for await (const { data } of node.events("length")) {
    const _length: number = data;
  }
  await node.deliver("paid", 7);
  await node.deliver("paid", 7, { acks: 1 });
  node.on("paid", (amount) => amount + 1);
  node.emit("photo", { any: "thing" });
  node.emit("photo");
  node.on("user.*", (data) => {
    const _unknown: unknown = data;
  });
  const stream = await node.open("id", "upload");
  await stream.send(new Uint8Array(1));
  const _count: number | undefined = await stream.receive();
}

/** Never called either: no line but those marked would compile. */
async function wrong(node: Node<Shop>): Promise<void> {
  // @ts-expect-error: the data lacks "email"
  node.emit("user.created", {});
  // @ts-expect-error: "email" is text
  node.emit("user.created", { email: 7 });
  // @ts-expect-error: the data is missing
  node.send("id", "user.created");
  // @ts-expect-error: no such event
  node.emit("user.creatde", { email: "x" });
  // @ts-expect-error: no such event
  node.on("user.creatde", () => {});
  // @ts-expect-error: the handler must reply with an address
  node.on("user.find", () => 7);
  // @ts-expect-error: the handler must reply
  node.on("user.find", () => {});
  // @ts-expect-error: what arrives is a number
  node.on("length", (text: string) => text.length);
  // @ts-expect-error: what is sent is text
  node.request("id", "length", 7);
  // @ts-expect-error: what the schema makes of the reply is text
  const _number: number = await node.request("id", "length", "x");
  // @ts-expect-error: no such group strategy
  node.on("length", (length) => length, { group: "g", strategy: "fair" });
  // @ts-expect-error: the data lacks "email"
  node.deliver("user.created", {});
  // @ts-expect-error: no such event
  node.deliver("user.creatde", { email: "x" });
  // @ts-expect-error: an unknown number of acknowledgements
  node.deliver("user.created", { email: "x" }, { acks: "most" });
  // @ts-expect-error: the data is text
  node.gather("user.find", 7);
  for await (const { data } of node.gather("user.find", "x")) {
    // @ts-expect-error: the reply has no such field
    data.name;
  }
  // @ts-expect-error: no such event
  node.events("user.creatde");
  // @ts-expect-error: it has to be acknowledged
  node.emit("paid", 7);
  // @ts-expect-error: it has to be acknowledged
  node.send("id", "paid", 7);
  const inline = contract({ paid: { acks: "quorum" } });
  const other: Node<NonNullable<typeof inline.events>> = node as never;
  // @ts-expect-error: it has to be acknowledged
  other.emit("paid", 7);
  // @ts-expect-error: an unknown number of acknowledgements
  contract({ a: { acks: "most" } });
  // @ts-expect-error: a conversation is no event
  node.emit("upload", new Uint8Array(1));
  // @ts-expect-error: an event is no conversation
  node.open("id", "photo");
  // @ts-expect-error: who opens sends bytes
  (await node.open("id", "upload")).send("text");
  // @ts-expect-error: a rule has no such option
  contract({ a: { data: z.string(), maxBites: 7 } });
  // @ts-expect-error: no schema
  contract({ a: { data: "string" } });
  const layer: Middleware = {
    // @ts-expect-error: what is sent resolves to what `next` does
    send: (_event, next) => next().then(() => 7),
  };
  layer.handle?.call;
  const behaviour: Behaviour<void, Shop> = (scope) => {
    // @ts-expect-error: "email" is text
    scope.emit("user.created", { email: 7 });
  };
  node.use("x", behaviour);
}

Deno.test("Node is typed as its contract says", () => {
  assertEquals([correct.length, wrong.length], [1, 1]);
  assertEquals([...contract(RULES).rules.keys()], Object.keys(RULES));
});
