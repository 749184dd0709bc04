import { assert, assertEquals } from "@std/assert";
import { z } from "zod";
import type { Router } from "@devts/routing";
import { memory } from "@devts/transport/memory";
import { contract } from "./contract.ts";
import type { AnyEvents } from "./types.ts";
import { pass, passFor, turns } from "./_support_test.ts";
import { pair, virtualWorld } from "./_world_test.ts";

/** Rejections that nobody took, while `run` runs. */
async function unhandledDuring(run: () => Promise<void>): Promise<string[]> {
  const seen: string[] = [];
  const listener = (event: PromiseRejectionEvent): void => {
    event.preventDefault();
    seen.push(String(event.reason));
  };
  globalThis.addEventListener("unhandledrejection", listener);
  try {
    await run();
    await turns(3);
  } finally {
    globalThis.removeEventListener("unhandledrejection", listener);
  }
  return seen;
}

Deno.test("Node leaves no rejection unhandled when nobody awaits and every peer dies", async () => {
  const seen = await unhandledDuring(async () => {
    await using world = virtualWorld();
    const { one, two } = await pair<Record<string, (data: unknown) => unknown>>(
      world,
    );
    two.node.on("never", () => new Promise(() => {}));
    two.node.on("fails", () => Promise.reject(new Error("no")));
    one.node.on("fails", () => {
      throw new Error("no");
    });
    for (let i = 0; i < 20; i++) {
      one.node.request("bob", "never", i);
      one.node.request("bob", "fails", i);
      one.node.request("bob", "nobody", i);
      one.node.request("ada", "fails", i);
      one.node.request("eve", "unknown", i);
      one.node.send("eve", "unknown", i);
      one.node.send("bob", "never", i);
      one.node.emit("never", new Uint8Array(90_000), { self: true });
    }
    const signal = AbortSignal.abort(new Error("aborted"));
    one.node.request("bob", "never", 1, { signal });
    await pass(world.clock, 50);
    world.cut("bob");
    await pass(world.clock, 40_000);
    assertEquals(one.node.members.size, 0);
    one.node.request("bob", "never", 1);
    const closing = one.node.close();
    one.node.emit("late", 1);
    one.node.send("ada", "late", 1);
    one.node.request("ada", "late", 1);
    await passFor(world.clock, closing);
    assert(one.node.counters.rejections > 60);
  });
  assertEquals(seen, []);
});

Deno.test("Node leaves no rejection unhandled when nobody awaits join and listen", async () => {
  const seen = await unhandledDuring(async () => {
    await using world = virtualWorld();
    const other = world.add("other", { cluster: "other" });
    await other.node.listen("memory://other");
    const { node } = world.add("ada");
    node.join("memory://other");
    node.join("memory://nobody");
    node.join("nonsense");
    node.listen("memory://other");
    node.listen("tcp://0.0.0.0:0");
    await pass(world.clock, 20_000);
    const closing = node.close();
    node.join("memory://other");
    node.listen("memory://ada");
    await passFor(world.clock, closing);
  });
  assertEquals(seen, []);
});

Deno.test("Node leaves no rejection unhandled when nobody awaits what a checked stream does", async () => {
  const rules = contract({
    count: { opener: z.number(), acceptor: z.number() },
  });
  const seen = await unhandledDuring(async () => {
    await using world = virtualWorld();
    const { one, two } = await pair<AnyEvents>(world, { contract: rules });
    two.node.onOpen("count", (stream) => {
      stream.receive();
      stream.send("no number");
    });
    const stream = await passFor(world.clock, one.node.open("bob", "count"));
    stream.send("no number");
    stream.receive();
    stream.receive();
    stream.abort();
    stream.send(1);
    stream.receive();
    await pass(world.clock, 100);
  });
  assertEquals(seen, []);
});

Deno.test("Node leaves no rejection unhandled when strangers come and go", async () => {
  const seen = await unhandledDuring(async () => {
    await using world = virtualWorld();
    const { node } = world.add("ada");
    await node.listen("memory://ada");
    const transport = memory(world.network);
    for (let i = 0; i < 10; i++) {
      const stranger = await transport.connect("memory://ada");
      if (i % 3 === 0) stranger.send(new Uint8Array(i));
      if (i % 3 === 1) stranger.send(new Uint8Array(5_000));
      await pass(world.clock, 1);
      await stranger.close(i % 2 === 0 ? new Error("gone") : undefined);
    }
    await pass(world.clock, 10_000);
    assertEquals(node.counters.refused, 10);
  });
  assertEquals(seen, []);
});

Deno.test("Node survives whatever a handler throws", async () => {
  const seen = await unhandledDuring(async () => {
    await using world = virtualWorld();
    const { one, two } = await pair<{ fail(which: number): void }>(world);
    const cyclic = new Error("again");
    cyclic.cause = cyclic;
    const thrown = [
      Object.create(null),
      { toString: 1 },
      cyclic,
      Object.defineProperty(new Error(), "message", {
        get() {
          throw new Error("no");
        },
      }),
      undefined,
    ];
    two.node.on("fail", (which) => {
      throw thrown[which];
    });
    for (const which of thrown.keys()) {
      const error = await passFor(
        world.clock,
        one.node.request("bob", "fail", which).catch((error) => error),
      );
      assert(error instanceof Error);
    }
    assertEquals(two.node.counters.handlerErrors, thrown.length);
  });
  assertEquals(seen, []);
});

Deno.test("Node survives a logger that throws and a router that cannot close", async () => {
  const fail = (): never => {
    throw new Error("no");
  };
  const logger = { debug: fail, info: fail, warn: fail, error: fail };
  const seen = await unhandledDuring(async () => {
    await using world = virtualWorld();
    const { node } = world.add("ada", {
      logger,
      router: (context) => ({ ...stubRouter(context.self.id), close: fail }),
    });
    await node.listen("memory://ada");
    node.send("nobody", "x");
    node.close();
    await passFor(world.clock, node.closed);
  });
  assertEquals(seen, []);
});

function stubRouter(id: string): Router {
  return {
    nodes: new Set<string>(),
    send: () => {
      throw new Error(`"${id}" knows no way`);
    },
    receive: () => {},
    link: () => {},
    member: () => {},
    close: () => {},
  };
}
