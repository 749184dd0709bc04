/**
 * What nodes can say to each other, over any router and any transport. It registers no
 * tests: {@linkcode MESSAGING} lists them.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  type Conversation,
  createNode,
  DeliveryError,
  type Logger,
  type Node,
  type NodeOptions,
  RequestError,
  StreamError,
} from "@devts/devts";

const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/** The events of the nodes. */
export interface Events {
  say(text: string): void;
  add(numbers: number[]): number;
  job(id: number): void;
  never(): void;
  talk: Conversation<string, string | number>;
  copy: Conversation<Uint8Array, number>;
  [here: `here.${string}`]: () => void;
}

/** Three nodes that know each other; they handle nothing. */
export interface Trio {
  /** The first end. */
  readonly ada: Node<Events>;
  /** The node in between, where the ends have no link to each other. */
  readonly bob: Node<Events>;
  /** The other end. */
  readonly cyd: Node<Events>;
}

/** Lets a node listen; resolves to its address, or to null where it does not. */
export type Listening = (node: Node<Events>) => Promise<string | null>;

/** Lets nodes listen: all, or those that are named. */
export function listening(
  address: string,
  ids: readonly string[] = ["ada", "bob", "cyd"],
): Listening {
  return async (node) =>
    ids.includes(node.id) ? await node.listen(address) : null;
}

/** Three nodes with the same options; null: nobody listens, and all find each other. */
export async function trio(
  stack: AsyncDisposableStack,
  options: Partial<NodeOptions>,
  listen: Listening | null,
): Promise<Trio> {
  function make(id: string): Node<Events> {
    const logger = quiet;
    return stack.use(
      createNode<Events>({ cluster: "test", id, logger, ...options }),
    );
  }
  const [ada, bob, cyd] = [make("ada"), make("bob"), make("cyd")];
  const entry = await listen?.(bob);
  for (const node of listen === null ? [ada, bob, cyd] : [ada, cyd]) {
    await listen?.(node);
    await node.join(...entry ? [entry] : []);
  }
  await Promise.all([ada, bob, cyd].map((node) => node.ready({ members: 2 })));
  return { ada, bob, cyd };
}

/** What must hold, by a sentence that says so. */
export const MESSAGING: Readonly<
  Record<string, (trio: Trio) => Promise<void>>
> = {
  "emit, send and request keep the order of their sender": inOrder,
  "request() fails with what is wrong": requestsFail,
  "open() gives a stream whose halves end one by one": halfClosed,
  "a stream carries messages of any length to a slow reader": carried,
  "abort() of either end reaches the other one": aborted,
  "open() is refused where nobody accepts": refused,
  "deliver() says who has it, who does not and why": delivered,
  "gather() brings the reply of each": gathered,
  "one member of a group gets each event": grouped,
  "deliver() gives the work of a member that goes to another one": movedOn,
  "drain() of a member loses nothing of its group": drainedOff,
  "events() brings what comes, and acknowledges it": fed,
  "what waits for a node fails once that is gone": gone,
};

async function inOrder({ ada, bob, cyd }: Trio): Promise<void> {
  const heard: string[] = [];
  cyd.on("say", (text) => heard.push(text) && 0);
  bob.on("say", () => {});
  cyd.on("add", (numbers) => {
    heard.push(numbers.join());
    return numbers.reduce((a, b) => a + b, 0);
  });
  await knows(ada, bob, cyd);
  const expected: string[] = [];
  const replies: Promise<number>[] = [];
  for (let i = 0; i < 300; i++) {
    expected.push(`${i}`);
    if (i % 3 === 0) await ada.emit("say", `${i}`);
    else if (i % 3 === 1) await ada.send("cyd", "say", `${i}`);
    else replies.push(ada.request("cyd", "add", [i]));
  }
  assertEquals(await Promise.all(replies), replies.map((_, i) => 3 * i + 2));
  assertEquals(heard, expected);
  assertEquals(ada.counters.undelivered, 0);
}

async function requestsFail({ ada, cyd }: Trio): Promise<void> {
  cyd.on("add", () => {
    throw new Error("out of paper");
  });
  const unhandled = await assertRejects(
    () => ada.request("cyd", "never"),
    RequestError,
  );
  assertEquals(unhandled.reason, "unhandled");
  const failed = await assertRejects(
    () => ada.request("cyd", "add", [1]),
    RequestError,
    "out of paper",
  );
  assertEquals(failed.reason, "handler");
  const unknown = await assertRejects(() => ada.request("dan", "add", [1]));
  assert(unknown instanceof Error);
  assertEquals(unknown.name, "NodeNotFoundError");
}

async function halfClosed({ ada, cyd }: Trio): Promise<void> {
  const heard: string[] = [];
  cyd.on("say", (text) => heard.push(text) && 0);
  const ended = Promise.withResolvers<void>();
  cyd.onOpen("talk", async (stream, { from }) => {
    heard.push(`open by ${from}`);
    for await (const text of stream) heard.push(text);
    await stream.send(heard.length);
    await stream.send("and that is all");
    await stream.close();
    await stream.closed;
    ended.resolve();
  });
  await knows(ada, cyd);
  ada.emit("say", "before");
  const stream = await ada.open("cyd", "talk");
  for (const text of ["one", "two", "three"]) await stream.send(text);
  await stream.close();
  assertEquals(await Array.fromAsync(stream), [5, "and that is all"]);
  await Promise.all([stream.closed, ended.promise]);
  assertEquals(heard, ["before", "open by ada", "one", "two", "three"]);
  const error = await assertRejects(() => stream.send("more"), StreamError);
  assertEquals(error.reason, "closed");
}

async function carried({ ada, cyd }: Trio): Promise<void> {
  const lengths = [0, 1, 5_000_000, 200_000, 122_880, 3, 2_000_000, 1_000_000];
  const taken = Promise.withResolvers<void>();
  cyd.onOpen("copy", async (stream) => {
    await taken.promise;
    for await (const bytes of stream) {
      assertEquals(sumOf(bytes), sumOf(filled(bytes.length)));
      await stream.send(bytes.length);
    }
    await stream.close();
  });
  const stream = await ada.open("cyd", "copy");
  let sent = 0;
  const sending = (async () => {
    for (const length of lengths) {
      await stream.send(filled(length));
      sent++;
    }
    await stream.close();
  })();
  // While nobody receives, no more than the windows take leaves.
  await ada.request("cyd", "never").catch(() => {});
  assert(sent < 3, `${sent}`);
  taken.resolve();
  assertEquals(await Array.fromAsync(stream), lengths);
  await sending;
}

async function aborted({ ada, cyd }: Trio): Promise<void> {
  const ends: unknown[] = [];
  const heard = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  cyd.onOpen("talk", async (stream) => {
    try {
      const text = await stream.receive();
      if (text === "abort it") stream.abort("no more paper");
      await stream.receive();
    } catch (error) {
      ends.push(error);
      heard[ends.length - 1]?.resolve();
    }
  });
  const first = await ada.open("cyd", "talk");
  await first.send("go on");
  first.abort("no more ink");
  await heard[0]?.promise;
  const own = await assertRejects(
    () => first.closed,
    StreamError,
    "no more ink",
  );
  const theirs = ends[0];
  assert(theirs instanceof StreamError, String(theirs));
  assert(theirs.message.includes("no more ink"), theirs.message);
  assertEquals([own.reason, theirs.reason], ["aborted", "aborted"]);

  const second = await ada.open("cyd", "talk");
  await second.send("abort it");
  const told = await assertRejects(
    () => second.receive(),
    StreamError,
    "no more paper",
  );
  assertEquals(told.reason, "aborted");
  await heard[1]?.promise;
  assertEquals([ada.counters.streamsFailed, cyd.counters.streamsFailed], [
    2,
    2,
  ]);
}

async function refused({ ada, cyd }: Trio): Promise<void> {
  const unhandled = await assertRejects(
    () => ada.open("cyd", "talk"),
    StreamError,
  );
  assertEquals(unhandled.reason, "unhandled");
  cyd.onOpen("talk", () => {
    throw new Error("not today");
  });
  const stream = await ada.open("cyd", "talk");
  const failed = await assertRejects(() => stream.receive(), StreamError);
  assert(failed.message.includes("not today"), failed.message);
  assertEquals(cyd.counters.streamsRefused, 1);
}

async function delivered({ ada, bob, cyd }: Trio): Promise<void> {
  const done: string[] = [];
  cyd.on("job", async (id) => {
    await Promise.resolve();
    done.push(`cyd ${id}`);
  });
  bob.on("job", (id) => {
    if (id === 2) throw new Error("out of paper");
    done.push(`bob ${id}`);
  });
  await knows(ada, bob, cyd);
  const { acknowledged, missing } = await ada.deliver("job", 1);
  assertEquals(acknowledged.map(({ node }) => node).sort(), ["bob", "cyd"]);
  assertEquals(missing, []);
  const error = await assertRejects(() => ada.deliver("job", 2), DeliveryError);
  assertEquals(error.outcome.acknowledged, [{ node: "cyd", group: null }]);
  const [miss] = error.outcome.missing;
  assertEquals([miss?.node, miss?.reason], ["bob", "handler"]);
  assert(miss?.message.includes("out of paper"), miss?.message);
  await ada.deliver("job", 3, { acks: 1 });
  await ada.deliver("job", 4, { to: "cyd" });
  assertEquals(done.filter((one) => one.startsWith("cyd")), [
    "cyd 1",
    "cyd 2",
    "cyd 3",
    "cyd 4",
  ]);
}

async function gathered({ ada, bob, cyd }: Trio): Promise<void> {
  bob.on("add", (numbers) => numbers.length);
  cyd.on("add", (numbers) => numbers.reduce((a, b) => a + b, 0));
  await knows(ada, bob, cyd);
  const all = await Array.fromAsync(ada.gather("add", [5, 7]));
  const sorted = all.sort((a, b) => a.from < b.from ? -1 : 1);
  assertEquals(sorted, [{ from: "bob", data: 2 }, { from: "cyd", data: 12 }]);
  const one = await Array.fromAsync(ada.gather("add", [5], { count: 1 }));
  assertEquals(one.length, 1);
}

async function grouped({ ada, bob, cyd }: Trio): Promise<void> {
  const done = new Map<string, number[]>([["bob", []], ["cyd", []]]);
  for (const node of [bob, cyd]) {
    node.on("job", (id) => done.get(node.id)?.push(id), { group: "workers" });
    node.on("add", () => 0);
  }
  await knows(ada, bob, cyd);
  for (let i = 0; i < 40; i++) {
    assertEquals(await ada.emit("job", i), { nodes: 1, dropped: 0 });
  }
  // Once each has replied to what was sent after them, all have been handled.
  for (const { id } of [bob, cyd]) await ada.request(id, "add", []);
  const all = [...done.values()];
  assertEquals(all.flat().sort((a, b) => a - b), numbers(40));
  for (const ids of all) assertEquals(ids, ids.toSorted((a, b) => a - b));
  assert(all.every(({ length }) => length > 0), JSON.stringify(all));
}

async function movedOn({ ada, bob, cyd }: Trio): Promise<void> {
  const done: number[] = [];
  const begun = Promise.withResolvers<void>();
  const never = new Promise<void>(() => {});
  bob.on("job", (id) => done.push(id), { group: "workers" });
  cyd.on("job", () => {
    begun.resolve();
    return never;
  }, { group: "workers" });
  cyd.on("add", () => 0);
  await knows(ada, bob, cyd);
  const outcomes = numbers(10).map((id) => ada.deliver("job", id));
  await begun.promise;
  await cyd.close();
  for (const { acknowledged } of await Promise.all(outcomes)) {
    assertEquals(acknowledged, [{ node: "bob", group: "workers" }]);
  }
  assertEquals(done.sort((a, b) => a - b), numbers(10));
}

async function drainedOff({ ada, bob, cyd }: Trio): Promise<void> {
  const done: number[] = [];
  for (const node of [bob, cyd]) {
    node.on("job", async (id) => {
      await Promise.resolve();
      done.push(id);
    }, { group: "workers" });
  }
  bob.on("add", () => 0);
  await knows(ada, bob, cyd);
  let isOver = false;
  let drained: Promise<boolean> | null = null;
  let count = 0;
  // It goes on from before until after.
  for (let left = 100; left > 0; count++) {
    await ada.emit("job", count);
    if (count === 100) drained = cyd.drain().finally(() => isOver = true);
    if (isOver) left--;
    // Some go out one by one, some together.
    if (count % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  assertEquals(await drained, true);
  await ada.request("bob", "add", []);
  assertEquals(done.sort((a, b) => a - b), numbers(count));
}

async function fed({ ada, cyd }: Trio): Promise<void> {
  using feed = cyd.events("job");
  await knows(ada, cyd);
  ada.emit("job", 1);
  ada.send("cyd", "job", 2);
  const delivery = ada.deliver("job", 3);
  const got: unknown[] = [];
  for await (const { data, from } of feed) {
    got.push([from, data]);
    if (data === 3) break;
  }
  assertEquals(got, [["ada", 1], ["ada", 2], ["ada", 3]]);
  assertEquals((await delivery).acknowledged.length, 1);
}

async function gone({ ada, cyd }: Trio): Promise<void> {
  const begun = Promise.withResolvers<void>();
  cyd.on("add", () => {
    begun.resolve();
    return new Promise<number>(() => {});
  });
  cyd.onOpen("talk", () => {});
  const stream = await ada.open("cyd", "talk");
  const reply = assertRejects(
    () => ada.request("cyd", "add", []),
    RequestError,
  );
  const end = assertRejects(() => stream.receive(), StreamError);
  await begun.promise;
  await cyd.close();
  assertEquals((await reply).reason, "lost");
  const { reason } = await end;
  assert(reason === "closed" || reason === "gone", reason);
}

/** Resolves once a node knows all that others handle until now. */
async function knows(
  node: Node<Events>,
  ...others: readonly Node<Events>[]
): Promise<void> {
  // What a node handles is told in the order in which it was registered.
  const handles = others.map((other) => {
    const name = `here.${other.id}` as const;
    other.on(name, () => {});
    return name;
  });
  await node.ready({ handles });
}

function filled(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at++) bytes[at] = at * 7 + (at >>> 8);
  return bytes;
}

function sumOf(bytes: Uint8Array): number {
  let sum = bytes.length;
  for (const byte of bytes) sum = Math.imul(sum, 31) + byte | 0;
  return sum;
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
