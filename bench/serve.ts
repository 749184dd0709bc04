import { cpuOf } from "./processes.ts";
import type { Logger } from "@devts/devts";
import { type Named, Values } from "./values.ts";

/** What a program does for a command. */
export type Command = (args: Values) => Named | Promise<Named>;

/** Logs only what went wrong, and to stderr: stdout is for answers. */
export const quiet: Logger = {
  debug: () => {},
  info: () => {},
  // deno-lint-ignore no-console -- says what went wrong
  warn: (message) => console.error(message),
  // deno-lint-ignore no-console -- says what went wrong
  error: (message) => console.error(message),
};

/** Logs nothing. */
export const silent: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
};

/** Answers commands, each a line of JSON on stdin, until stdin ends. */
export async function serve(
  commands: Readonly<Record<string, Command>>,
): Promise<void> {
  let unread = "";
  for await (
    const part of Deno.stdin.readable.pipeThrough(new TextDecoderStream())
  ) {
    const lines = (unread + part).split("\n");
    unread = lines.pop() ?? "";
    for (const line of lines) {
      const reply = await answer(commands, line);
      // deno-lint-ignore no-console -- the answer
      console.log(JSON.stringify(reply));
    }
  }
}

/** Waits until a condition holds; false: it did not within `limit` ms. */
export async function until(
  condition: () => boolean,
  limit: number,
): Promise<boolean> {
  const end = performance.now() + limit;
  while (!condition()) {
    if (performance.now() >= end) return false;
    await pause(10);
  }
  return true;
}

/** Waits for some ms. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** The time in ms, on a clock that all processes of the machine share. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}

/** The CPU time that this process has taken, in ms; it advances in steps of 10 ms. */
export function cpuTime(): number {
  return cpuOf(Deno.pid);
}

/** Collects garbage and returns its memory to the system, where the program was started with `--v8-flags=--expose-gc`. */
export function collectGarbage(): void {
  const collect: unknown = Reflect.get(globalThis, "gc");
  if (typeof collect !== "function") return;
  collect({ type: "major", execution: "sync", flavor: "last-resort" });
}

/** Carries out a command, a line of JSON; what goes wrong is the answer's `error`. */
export async function answer(
  commands: Readonly<Record<string, Command>>,
  line: string,
): Promise<Named> {
  try {
    const order = new Values("A command", JSON.parse(line));
    const verb = order.text("verb");
    const command = commands[verb];
    if (command === undefined) {
      throw new TypeError(`There is no command "${verb}"`);
    }
    return await command(order.values("args"));
  } catch (error) {
    return { error: String(error) };
  }
}
