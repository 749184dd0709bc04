import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { VirtualClock } from "@devts/routing/testing";
import { RequestError } from "./errors.ts";
import { noneMet } from "./limits.ts";
import { type Asked, Requests } from "./requests.ts";
import { isSettled, turn } from "./_support_test.ts";

function setUp(limit = 10, perPeer = limit) {
  const clock = new VirtualClock();
  return {
    clock,
    requests: new Requests({
      met: noneMet(),
      clock,
      limit,
      perPeer,
      rejecting: (reply) => {
        reply.catch(() => {});
      },
    }),
  };
}

/** A node for which nothing waits. */
function node(id: string): Asked {
  return { id, waiting: 0 };
}

/** Why a promise rejects. */
async function reasonOf(reply: Promise<unknown>): Promise<string> {
  const error = await assertRejects(() => reply, RequestError);
  return error.reason;
}

Deno.test("Requests gives the reply to whoever opened the request", async () => {
  const { clock, requests } = setUp();
  const one = requests.open(node("a"), "x", 1_000);
  const two = requests.open(node("a"), "x", 1_000);
  assert(one.id !== two.id);
  assertEquals(requests.size, 2);
  assert(requests.resolve(two.id, "a", "second"));
  assert(requests.resolve(one.id, "a", "first"));
  assertEquals(await one.reply, "first");
  assertEquals(await two.reply, "second");
  assertEquals(requests.size, 0);
  // The timer is left to run: the next request needs one again.
  clock.tick(1_000);
  assertEquals(clock.pending, 0);
});

Deno.test("Requests times out in the order of the deadlines", async () => {
  const { clock, requests } = setUp(100);
  const ended: number[] = [];
  const deadlines = [500, 20, 300, 20, 10_000, 1];
  for (const timeout of deadlines) {
    requests.open(node("a"), `after ${timeout}`, timeout).reply.catch(
      (error) => {
        assert(error instanceof RequestError);
        assertEquals(error.reason, "timeout");
        assert(error.message.includes(`"after ${timeout}"`), error.message);
        ended.push(timeout);
        assertEquals(clock.now(), timeout);
      },
    );
  }
  for (const at of [1, 20, 300, 500, 10_000]) {
    clock.tick(at - 1 - clock.now());
    await turn();
    assert(!ended.includes(at), `${at} ended early`);
    clock.tick(1);
    await turn();
    assert(ended.includes(at), `${at} did not end`);
  }
  assertEquals(ended, [1, 20, 20, 300, 500, 10_000]);
  assertEquals(clock.pending, 0);
});

Deno.test("Requests uses one timer for all", () => {
  const { clock, requests } = setUp(10_000);
  for (let i = 0; i < 5_000; i++) {
    requests.open(node("a"), "x", 1 + (i * 7919) % 10_000).reply.catch(
      () => {},
    );
    clock.tick(0);
    assertEquals(clock.pending, 1);
  }
  requests.close();
  assertEquals(clock.pending, 0);
});

Deno.test("Requests rejects with the reason of its signal and lets go of it", async () => {
  const { requests } = setUp();
  const controller = new AbortController();
  const { signal } = controller;
  let listeners = 0;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    listeners++;
    add(...args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    listeners--;
    remove(...args);
  };
  const replied = requests.open(node("a"), "x", 1_000, signal);
  const aborted = requests.open(node("a"), "x", 1_000, signal);
  assertEquals(listeners, 2);
  requests.resolve(replied.id, "a", 1);
  assertEquals(listeners, 1);
  const reason = new Error("enough");
  controller.abort(reason);
  assertEquals(await assertRejects(() => aborted.reply), reason);
  assertEquals(await replied.reply, 1);
  assertEquals(listeners, 0);
  assert(!requests.resolve(aborted.id, "a", 1));
});

Deno.test("Requests refuses more than its limit", async () => {
  const { requests } = setUp(2);
  const { id, reply } = requests.open(node("a"), "x", 1_000);
  requests.open(node("a"), "x", 1_000).reply.catch(() => {});
  const error = assertThrows(
    () => requests.open(node("b"), "y", 1_000),
    RequestError,
    'Cannot request "y" of node "b"',
  );
  assertEquals(error.reason, "limit");
  requests.resolve(id, "a", null);
  await reply;
  requests.open(node("b"), "y", 1_000).reply.catch(() => {});
  assertEquals(requests.size, 2);
  requests.close();
});

Deno.test("Requests refuses more than its limit for one node, until others have ended", async () => {
  const { requests, clock } = setUp(100, 3);
  const [one, two] = [node("a"), node("b")];
  const open = (to: Asked, signal?: AbortSignal) =>
    requests.open(to, "x", 1_000, signal);
  const controller = new AbortController();
  const [first, second, third] = [
    open(one),
    open(one),
    open(one, controller.signal),
  ];
  const error = assertThrows(() => open(one), RequestError, "3 requests wait");
  assertEquals(error.reason, "limit");
  assert(error.message.includes("limits.requestsPerPeer"), error.message);
  const other = open(two); // another one is not held up

  requests.resolve(first.id, "a", null);
  await first.reply;
  requests.drop(open(one).id);
  requests.reject(second.id, "a", () => new RequestError("unhandled", "?"));
  assertEquals(await reasonOf(second.reply), "unhandled");
  controller.abort(new RequestError("limit", "?"));
  await assertRejects(() => third.reply);
  assertEquals([one.waiting, two.waiting], [0, 1]);

  const late = [open(one), open(one), open(one)];
  clock.tick(1_000);
  for (const { reply } of [...late, other]) {
    assertEquals(await reasonOf(reply), "timeout");
  }
  const lost = [open(one), open(one), open(one)];
  requests.rejectUnreachable(() => false, "the link broke");
  for (const { reply } of lost) assertEquals(await reasonOf(reply), "lost");
  assertEquals([one.waiting, two.waiting, requests.size], [0, 0, 0]);
  clock.tick(10_000);
});

Deno.test("Requests ignores a reply that is late, unknown or from another node", async () => {
  const { clock, requests } = setUp();
  const { id, reply } = requests.open(node("a"), "x", 10);
  assert(!requests.resolve(id, "b", "forged"));
  assert(!requests.reject(id, "b", () => new Error("forged")));
  assert(!requests.resolve(id + 1, "a", "unknown"));
  assert(!await isSettled(reply));
  clock.tick(10);
  assertEquals(await reasonOf(reply), "timeout");
  assert(!requests.resolve(id, "a", "late"));
  assert(!requests.reject(id, "a", () => new Error("late")));
});

Deno.test("Requests fails those whose node is lost, and only those", async () => {
  const { requests } = setUp();
  const near = requests.open(node("near"), "x", 1_000);
  const far = requests.open(node("far"), "x", 1_000);
  requests.rejectUnreachable((id) => id === "near", "the link broke");
  const error = await assertRejects(() => far.reply, RequestError, "may have");
  assertEquals(error.reason, "lost");
  assert(error.message.includes("the link broke"), error.message);
  assert(!await isSettled(near.reply));
  requests.close();
  assertEquals(await reasonOf(near.reply), "closed");
});

Deno.test("Requests.close() fails all and leaves nothing", async () => {
  const { clock, requests } = setUp();
  const replies = [1, 2, 3].map(() =>
    requests.open(node("a"), "x", 1_000).reply
  );
  clock.tick(0);
  requests.close();
  assertEquals(await Promise.all(replies.map(reasonOf)), [
    "closed",
    "closed",
    "closed",
  ]);
  assertEquals(requests.size, 0);
  assertEquals(clock.pending, 0);
});

Deno.test("Requests waits for a later deadline after an earlier one was met", async () => {
  const { clock, requests } = setUp();
  const early = requests.open(node("a"), "early", 10);
  const late = requests.open(node("a"), "late", 100);
  requests.resolve(early.id, "a", 1);
  clock.tick(99);
  assert(!await isSettled(late.reply));
  clock.tick(1);
  assertEquals(await reasonOf(late.reply), "timeout");
  assertEquals(clock.pending, 0);
  // A new one after all others ended has a timer again.
  const next = requests.open(node("a"), "next", 5);
  clock.tick(5);
  assertEquals(await reasonOf(next.reply), "timeout");
});

Deno.test("Requests opens from within a rejection, and while it expires", async () => {
  const { clock, requests } = setUp();
  const controller = new AbortController();
  let again: Promise<unknown> | null = null;
  controller.signal.addEventListener("abort", () => {
    again = requests.open(node("a"), "again", 20).reply;
  });
  requests.open(node("a"), "x", 10, controller.signal).reply.catch(() => {});
  controller.abort();
  assertEquals(requests.size, 1);
  clock.tick(20);
  assert(again);
  assertEquals(await reasonOf(again), "timeout");
});

Deno.test("Requests gives ids of 32 bits, none of which is in use", () => {
  const { requests } = setUp(1_000);
  const ids = new Set<number>();
  for (let i = 0; i < 1_000; i++) {
    const { id, reply } = requests.open(node("a"), "x", 1_000);
    reply.catch(() => {});
    assert(Number.isInteger(id) && id >= 0 && id < 2 ** 32);
    ids.add(id);
  }
  assertEquals(ids.size, 1_000);
  requests.close();
});

Deno.test("Requests.rejectLost() fails those of the same bundle to that node", async () => {
  const { requests } = setUp();
  const open = (to: string) => requests.open(node(to), "x", 1_000);
  const [first, second, later, other] = [
    open("a"),
    open("a"),
    open("a"),
    open("b"),
  ];
  requests.sentTogether([first.id, second.id]);
  requests.sentTogether([later.id]);
  requests.rejectLost([first.id], "?", "b");
  assertEquals(requests.size, 4);
  requests.rejectLost([999, first.id], "it came no further than b", "a");
  await assertRejects(() => first.reply, RequestError, "no further than b");
  assertEquals(await reasonOf(second.reply), "lost");
  assert(!await isSettled(later.reply) && !await isSettled(other.reply));
  requests.rejectLost([other.id], "?");
  assertEquals(await reasonOf(other.reply), "lost");
  requests.close();
  assertEquals(await reasonOf(later.reply), "closed");
});
