import { assert, assertEquals } from "@std/assert";
import { systemClock } from "./clock.ts";

Deno.test("systemClock() never goes back", () => {
  const clock = systemClock();
  let last = clock.now();
  for (let i = 0; i < 1000; i++) {
    const now = clock.now();
    assert(now >= last);
    last = now;
  }
});

Deno.test("systemClock().after() calls back once, never before it returns", async () => {
  const clock = systemClock();
  let calls = 0;
  const called = new Promise<void>((resolve) => {
    clock.after(0, () => {
      calls++;
      resolve();
    });
  });
  assertEquals(calls, 0);
  await called;
  assertEquals(calls, 1);
});

Deno.test("systemClock().after() is cancelled, twice without effect", async () => {
  const clock = systemClock();
  const cancel = clock.after(0, () => {
    throw new Error("Called back after it was cancelled");
  });
  cancel();
  cancel();
  await new Promise<void>((resolve) => void clock.after(0, resolve));
});

Deno.test("systemClock().after() does not call back early for a delay too long for the runtime", async () => {
  const clock = systemClock();
  const cancel = clock.after(2 ** 40, () => {
    throw new Error("Called back at once");
  });
  await new Promise<void>((resolve) => void clock.after(2, resolve));
  cancel();
});

Deno.test("systemClock().soon() calls back in order, in a later turn", async () => {
  await checkSoon();
});

// The ports of the message channel stay open as long as the clock is used.
Deno.test({
  name: "systemClock().soon() does the same where there is no setImmediate",
  sanitizeResources: false,
  sanitizeOps: false,
  fn: async () => {
    const original = globalThis.setImmediate;
    Reflect.deleteProperty(globalThis, "setImmediate");
    try {
      await checkSoon();
    } finally {
      globalThis.setImmediate = original;
    }
  },
});

async function checkSoon(): Promise<void> {
  const clock = systemClock();
  const order: string[] = [];
  await new Promise<void>((resolve) => {
    clock.soon(() => order.push("first"));
    clock.soon(() => {
      order.push("second");
      resolve();
    });
    queueMicrotask(() => order.push("microtask"));
    order.push("now");
  });
  assertEquals(order, ["now", "microtask", "first", "second"]);
}
