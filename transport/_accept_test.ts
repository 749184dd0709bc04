import { assertEquals } from "@std/assert";
import { acceptFrom, type Acceptor } from "./_accept.ts";
import { frame } from "./framing.ts";
import type { Connection } from "./types.ts";

/** Accepts what it is given: a name, or an error to throw. */
class ScriptedAcceptor implements Acceptor<string> {
  readonly #script: (string | Error)[];
  #pending: PromiseWithResolvers<string> | undefined;

  constructor(...script: (string | Error)[]) {
    this.#script = script;
  }

  accept(): Promise<string> {
    const next = this.#script.shift();
    if (next instanceof Error) return Promise.reject(next);
    if (next !== undefined) return Promise.resolve(next);
    this.#pending = Promise.withResolvers();
    return this.#pending.promise;
  }

  close(): void {
    this.#pending?.reject(new Error("closed"));
  }
}

function named(remote: string): Connection {
  return frame({
    read: () => Promise.resolve(null),
    write: (bytes) => Promise.resolve(bytes.length),
    close: () => {},
  }, { remote });
}

Deno.test("acceptFrom() goes on after an error of accept or of opening", async () => {
  const tooMany = new Error("Too many open files");
  const acceptor = new ScriptedAcceptor("a", tooMany, "bad", "b");
  const listener = acceptFrom(acceptor, "test://here", (name) => {
    if (name === "bad") throw new Error("gone already");
    return named(name);
  });
  const names: string[] = [];
  for await (const connection of listener) {
    names.push(connection.remote);
    if (names.length === 2) await listener.close();
  }
  assertEquals(names, ["a", "b"]);
});

Deno.test("acceptFrom() holds less once there was no descriptor, and goes on as soon as one has ended", async () => {
  const none = Object.assign(new Error("Too many"), { code: "EMFILE" });
  const names = Array.from({ length: 20 }, (_, i) => `${i}`);
  const acceptor = new ScriptedAcceptor(...names, none, "late");
  const ends: (() => void)[] = [];
  const listener = acceptFrom(acceptor, "test://here", (name, ended) => {
    ends.push(ended);
    return named(name);
  });
  const iterator = listener[Symbol.asyncIterator]();
  for (const name of names) {
    assertEquals((await iterator.next()).value?.remote, name);
  }
  // 16 less than 20: nothing until 17 of them have ended.
  const next = iterator.next();
  assertEquals(await Promise.race([next, aTurn()]), "not yet");
  for (const end of ends.splice(0, 16)) end();
  assertEquals(await Promise.race([next, aTurn()]), "not yet");
  ends.pop()?.();
  assertEquals((await next).value?.remote, "late");
  await listener.close();
});

/** Some turns of the event loop. */
async function aTurn(): Promise<"not yet"> {
  for (let i = 0; i < 10; i++) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  return "not yet";
}

Deno.test("acceptFrom() ends a pause at once when it is closed", async () => {
  const failed = Promise.withResolvers<void>();
  const acceptor: Acceptor<string> = {
    accept() {
      failed.resolve();
      return Promise.reject(new Error("Too many open files"));
    },
    close() {},
  };
  const listener = acceptFrom(acceptor, "test://here", named);
  const ended = Array.fromAsync(listener);
  await failed.promise;
  await listener.close();
  // A timer left behind would be reported by the sanitizers.
  assertEquals(await ended, []);
});
