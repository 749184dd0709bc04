import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { sealed, sealedAsync } from "./_sealed.ts";
import { seededRandom } from "./_random.ts";

const TOUCHES: Readonly<Record<string, () => unknown>> = {
  "Date.now": () => Date.now(),
  "new Date()": () => new Date(),
  "Date()": () => Date(),
  "Math.random": () => Math.random(),
  "performance.now": () => performance.now(),
  "crypto.randomUUID": () => crypto.randomUUID(),
  "crypto.getRandomValues": () => crypto.getRandomValues(new Uint8Array(1)),
  "AbortSignal.timeout": () => AbortSignal.timeout(1),
  "setTimeout": () => setTimeout(() => {}),
  "setInterval": () => setInterval(() => {}),
  "setImmediate": () => setImmediate(() => {}),
};

Deno.test("sealed() throws for whatever knows the time or chance", () => {
  for (const [name, touch] of Object.entries(TOUCHES)) {
    assertThrows(() => sealed(touch), Error, `Cannot use ${name}:`);
  }
  assertThrows(() => sealed(() => queueMicrotask(() => {})), Error, "queueM");
});

Deno.test("sealed() throws although what was thrown was caught", () => {
  const quiet = (): number => {
    try {
      return Date.now();
    } catch {
      return 0;
    }
  };
  assertThrows(() => sealed(quiet), Error, "Date.now");
});

Deno.test("sealed() leaves a date of a given time as it is", () => {
  sealed(() => {
    const date = new Date(0);
    assert(date instanceof Date);
    assertEquals(date.toISOString(), "1970-01-01T00:00:00.000Z");
    assertEquals(Date.UTC(1970, 0, 2), 86_400_000);
  });
});

Deno.test("sealed() puts everything back, also within itself and after a throw", () => {
  const before = [Date, Date.now, Math.random, setTimeout, queueMicrotask];
  assertThrows(() => sealed(() => sealed(() => Date.now())), Error, "Date.now");
  assertThrows(() =>
    sealed(() => {
      throw new TypeError("of its own");
    }), TypeError);
  assertEquals(
    [Date, Date.now, Math.random, setTimeout, queueMicrotask],
    before,
  );
  assert(Date.now() > 0);
});

Deno.test("sealedAsync() lets promises and microtasks run, and nothing else", async () => {
  const order: string[] = [];
  await sealedAsync(async () => {
    queueMicrotask(() => order.push("microtask"));
    await Promise.resolve();
    order.push("promise");
  });
  assertEquals(order, ["microtask", "promise"]);
  await assertRejects(
    () =>
      sealedAsync(async () =>
        await Promise.resolve().then(TOUCHES["setTimeout"])
      ),
    Error,
    "setTimeout",
  );
  assert(Date.now() > 0);
});

Deno.test("sealedAsync() draws cryptographic randomness from what is given", async () => {
  const draw = () =>
    sealedAsync(
      // deno-lint-ignore require-await -- the contract asks for a promise
      async () => [...crypto.getRandomValues(new Uint32Array(4))],
      { random: seededRandom(9) },
    );
  assertEquals(await draw(), await draw());
  await assertRejects(
    () => sealedAsync(async () => await TOUCHES["crypto.getRandomValues"]?.()),
    Error,
    "crypto.getRandomValues",
  );
});
