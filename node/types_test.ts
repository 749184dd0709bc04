/** What compiles is what is tested here: `deno check` and `deno test` both read it. */
import { assertEquals } from "@std/assert";
import type { Node } from "./node.ts";
import type { Stream } from "./stream.ts";
import type {
  AcceptorOf,
  AnyEvents,
  Conversation,
  DataArgs,
  DataOf,
  EventName,
  OpenerOf,
  Outcome,
  ReplyOf,
  StreamName,
} from "./types.ts";
import { passFor } from "./_support_test.ts";
import { virtualWorld } from "./_world_test.ts";

interface Chat {
  say(text: string): void;
  sum(numbers: readonly number[]): number;
  load(key: { readonly id: number }): Promise<string | null>;
  ping(): string;
  maybe(text?: string): void;
  upload: Conversation<Uint8Array | string, { readonly bytes: number }>;
}

/** Compiles only if the two types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends
  (<T>() => T extends B ? 1 : 2) ? true : never;

function same<A, B>(_proof: Same<A, B>): void {}

Deno.test("DataOf, ReplyOf and EventName say what an interface says", () => {
  same<EventName<Chat>, "say" | "sum" | "load" | "ping" | "maybe">(true);
  same<DataOf<Chat, "say">, string>(true);
  same<DataOf<Chat, "ping">, undefined>(true);
  same<ReplyOf<Chat, "sum">, number>(true);
  same<ReplyOf<Chat, "load">, string | null>(true);
  same<ReplyOf<Chat, "say">, void>(true);
  same<DataArgs<Chat, "ping", object>, [data?: undefined, options?: object]>(
    true,
  );
});

Deno.test("StreamName, OpenerOf and AcceptorOf say what an interface says", () => {
  same<StreamName<Chat>, "upload">(true);
  same<OpenerOf<Chat, "upload">, Uint8Array | string>(true);
  same<AcceptorOf<Chat, "upload">, { readonly bytes: number }>(true);
  same<StreamName<AnyEvents>, string>(true);
  same<OpenerOf<AnyEvents, string>, unknown>(true);
});

/** Never called: its lines compile or, where they say so, do not. */
function correct(node: Node<Chat>, plain: Node): void {
  node.on("say", (text) => {
    const _text: string = text;
  });
  const said: string[] = [];
  // What a handler of an event without a reply returns is nobody's business.
  node.on("say", (text) => said.push(text));
  node.on("say", async (text) => {
    await Promise.resolve(text);
  });
  node.on("say", () => {});
  node.on("sum", (numbers, { from, signal }) => {
    const _from: string = from;
    const _signal: AbortSignal = signal;
    return numbers.length;
  });
  node.on("sum", (numbers) => Promise.resolve(numbers.length));
  node.on("load", ({ id }) => `${id}`);
  node.on("load", () => Promise.resolve(null));
  node.on("ping", () => "pong");
  const _emitted: Promise<Outcome> = node.emit("say", "hi");
  node.emit("say", "hi", { self: true });
  node.emit("ping");
  node.emit("ping", undefined, { self: true });
  node.send("id", "sum", [1, 2]);
  node.send("id", "ping");
  node.emit("maybe");
  node.emit("maybe", "text");
  const _sum: Promise<number> = node.request("id", "sum", [1]);
  const _load: Promise<string | null> = node.request("id", "load", { id: 1 });
  const _pong: Promise<string> = node.request("id", "ping");
  node.request("id", "ping", undefined, { timeout: 5 });
  node.request("id", "sum", [], { signal: AbortSignal.abort() });
  using _handler = node.on("ping", () => "pong");
  node.on("order.*", (data, { name }) => {
    const _data: unknown = data;
    const _name: string = name;
  });
  node.on("order.>", (order: { readonly id: number }) => order.id);
  const sticky = { group: "g", strategy: "sticky", key: "user" } as const;
  node.on("say", () => {}, sticky);
  node.on("order.*", () => {}, { group: "g" });
  node.emit("say", "hi", { key: 7 });
  node.deliver("say", "hi", { acks: "quorum", to: ["id"], patience: 5 });
  const _acknowledged: Promise<readonly { readonly node: string | null }[]> =
    node.deliver("ping").then(({ acknowledged }) => acknowledged);
  const _gathered: AsyncIterable<
    { readonly from: string; readonly data: number }
  > = node.gather("sum", [1], { count: 2, quiet: 5 });
  const _events: AsyncIterable<{ readonly data: string }> = node.events(
    "say",
    { limit: 1, overflow: "fail", group: "g" },
  );
  const _matching: AsyncIterable<{ readonly data: unknown }> = node.events(
    "order.*",
  );
  const _drained: Promise<boolean> = node.drain({ timeout: 5 });
  const _ready: Promise<void> = node.ready({ members: 2, handles: ["say"] });
  node.onSystem("join", ({ id, meta }) => {
    const _id: string = id;
    const _meta: unknown = meta;
  });
  node.onSystem("leave", ({ member, reason }) => {
    const _reason: "left" | "failed" | "restarted" = reason;
    return member.id;
  });
  node.onOpen("upload", async (stream, { from }) => {
    const _from: string = from;
    for await (const chunk of stream) {
      const _chunk: Uint8Array | string = chunk;
    }
    await stream.send({ bytes: 1 });
  });
  const _stream: Promise<
    Stream<Uint8Array | string, { readonly bytes: number }>
  > = node.open("id", "upload", { timeout: 5 });
  node.open("id", "upload").then(async (stream) => {
    await stream.send("name");
    const _bytes: number | undefined = (await stream.receive())?.bytes;
  });
  // Without an interface: any name, any data, an unknown reply.
  plain.on("anything", (data, { from }) => [data, from]);
  plain.emit("anything");
  plain.emit("anything", { any: "data" }, { self: true });
  const _unknown: Promise<unknown> = plain.request("id", "anything", 1);
  plain.onOpen("anything", (stream) => stream.send(1));
  const _any: Promise<Stream> = plain.open("id", "anything");
}

/** Never called either: no line but those marked would compile. */
function wrong(node: Node<Chat>, plain: Node): void {
  // @ts-expect-error: the data is a string
  node.emit("say", 1);
  // @ts-expect-error: the data is missing
  node.emit("say");
  // @ts-expect-error: no such strategy
  node.on("say", () => {}, { group: "g", strategy: "fair" });
  // @ts-expect-error: neither an event nor a pattern
  node.on("order", () => {});
  // @ts-expect-error: no such event
  node.emit("shout", "hi");
  // @ts-expect-error: the data is an array
  node.send("id", "sum", 1);
  // @ts-expect-error: this event has no data
  node.send("id", "ping", 1);
  // @ts-expect-error: no such event
  node.send("id", "shout");
  // @ts-expect-error: send has no options
  node.send("id", "say", "hi", { self: true });
  // @ts-expect-error: no such option
  node.emit("say", "hi", { other: true });
  // @ts-expect-error: the reply is a number
  const _reply: Promise<string> = node.request("id", "sum", [1]);
  // @ts-expect-error: no such event
  node.request("id", "shout");
  // @ts-expect-error: the data is a string
  node.deliver("say", 1);
  // @ts-expect-error: neither a number nor "all" or "quorum"
  node.deliver("say", "hi", { acks: "most" });
  // @ts-expect-error: no such event
  node.deliver("shout", "hi");
  // @ts-expect-error: the data is an array
  node.gather("sum", 1);
  // @ts-expect-error: the replies are numbers
  const _texts: AsyncIterable<{ data: string }> = node.gather("sum", [1]);
  // @ts-expect-error: the data is a string
  const _numbers: AsyncIterable<{ data: number }> = node.events("say");
  // @ts-expect-error: no such event
  node.events("shout");
  // @ts-expect-error: no such policy
  node.events("say", { overflow: "block" });
  // @ts-expect-error: the handler replies with a string
  node.on("sum", () => "three");
  // @ts-expect-error: the handler does not reply
  node.on("sum", () => {});
  // @ts-expect-error: the handler takes a number
  node.on("say", (text: number) => text);
  // @ts-expect-error: no such event
  node.on("shout", () => {});
  // @ts-expect-error: no such system event
  node.onSystem("shout", () => {});
  // @ts-expect-error: an event is no conversation
  node.open("id", "say");
  // @ts-expect-error: a conversation is no event
  node.emit("upload", "text");
  // @ts-expect-error: nor is it handled as one
  node.on("upload", () => {});
  // @ts-expect-error: no such conversation
  node.onOpen("download", () => {});
  // @ts-expect-error: who opens sends bytes or text
  node.open("id", "upload").then((stream) => stream.send(1));
  // @ts-expect-error: who accepts sends how many bytes
  node.onOpen("upload", (stream) => stream.send("text"));
  // @ts-expect-error: data without an interface is unknown
  plain.on("anything", (data) => data.length);
}

Deno.test("Node is typed as its interface says", async () => {
  assertEquals([correct.length, wrong.length], [2, 2]);
  await using world = virtualWorld();
  const { node } = world.add<Chat>("ada");
  node.on("load", ({ id }) => Promise.resolve(id > 0 ? `#${id}` : null));
  const reply: string | null = await passFor(
    world.clock,
    node.request("ada", "load", { id: 3 }),
  );
  assertEquals(reply, "#3");
});
