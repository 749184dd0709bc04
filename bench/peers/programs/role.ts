/**
 * What every program here does in the same way: answering commands, making what is
 * published and checking what arrives. Runs under Node and Deno.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import process from "node:process";
import { Arrivals } from "../../arrivals.ts";
import {
  type Item,
  itemOf,
  kindOf,
  SIZES,
  stamp,
  template,
} from "../../payload.ts";
import type { Kind } from "../../peer.ts";
import { requests } from "../../requests.ts";
import { parseCpu } from "../../processes.ts";
import { answer, type Command, now } from "../../serve.ts";
import type { Named } from "../../values.ts";

/** What the program of a publisher, which is also the client, brings. */
export interface Publisher<Message> {
  /** Makes a message of an object. */
  fromItem(item: Item): Message;
  /** Makes a message of bytes, and may keep them. */
  fromBytes(bytes: Uint8Array<ArrayBuffer>): Message;
  /**
   * Publishes to all subscribers of a kind.
   *
   * @returns What to wait for before the next one, where there is something.
   */
  publish(kind: Kind, message: Message): Promise<unknown> | undefined;
  /** Resolves once all that was published has left this process. */
  flush(): Promise<unknown>;
  /** Sends bytes, which it may not keep, to the server and resolves to the reply. */
  request(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array>;
}

/** What the program of a subscriber takes. */
export interface Subscriber {
  /** Takes an object that arrived. */
  addItem(item: Item): void;
  /** Takes bytes that arrived, which stay as they are. */
  addBytes(bytes: Uint8Array): void;
  /** Is called once all expected messages are here, where a publisher asks for it. */
  onAll?: () => void;
}

/** The kinds, which are also the names that events are published under. */
export const KINDS: readonly Kind[] = Object.keys(SIZES).map(kindOf);

/** The commands of a publisher. */
export function publisherCommands<Message>(
  publisher: () => Publisher<Message>,
): Readonly<Record<string, Command>> {
  return {
    publish: async (args) => {
      const kind = kindOf(args.text("kind"));
      const [first, count] = [args.number("first"), args.number("count")];
      const cpu = cpuTime();
      const startedAt = now();
      await publishAll(publisher(), kind, first, first + count);
      return { startedAt, cpu: cpuTime() - cpu };
    },
    request: (args) =>
      requests({
        count: args.number("count"),
        inFlight: args.number("inFlight"),
        cpuTime,
        request: (bytes) => publisher().request(bytes),
      }),
  };
}

/** A subscriber, and its commands. */
export function subscribing(): {
  readonly subscriber: Subscriber;
  readonly commands: Readonly<Record<string, Command>>;
} {
  const arrivals = new Arrivals({ cpuTime });
  let all: Promise<Named> = Promise.resolve({});
  const subscriber: Subscriber = {
    addItem: (item) => arrivals.addObject(item),
    addBytes: (bytes) => arrivals.addBytes(bytes),
  };
  const commands: Readonly<Record<string, Command>> = {
    expect: (args) => {
      const kind = kindOf(args.text("kind"));
      arrivals.expect(kind, args.number("first"), args.number("count"));
      all = arrivals.arrived();
      all.then(() => subscriber.onAll?.());
      return {};
    },
    arrived: () => all,
  };
  return { subscriber, commands };
}

/** Answers commands, each a line of JSON on stdin, until stdin ends; then ends the process. */
export async function serve(
  commands: Readonly<Record<string, Command>>,
): Promise<never> {
  process.stdin.setEncoding("utf8");
  let unread = "";
  for await (const part of process.stdin) {
    const lines = `${unread}${part}`.split("\n");
    unread = lines.pop() ?? "";
    for (const line of lines) {
      const reply = JSON.stringify(await answer(commands, line));
      process.stdout.write(`${reply}\n`);
    }
  }
  return process.exit();
}

/** Ends the process: without what it has lost, it could only wait for ever. */
export function fail(what: unknown): never {
  process.stderr.write(
    `${what instanceof Error ? what.stack ?? what.message : what}\n`,
  );
  return process.exit(1);
}

/** The CPU time that this process has taken, in ms; it advances in steps of 10 ms. */
export function cpuTime(): number {
  return parseCpu(readFileSync("/proc/self/stat", "utf8"));
}

async function publishAll<Message>(
  publisher: Publisher<Message>,
  kind: Kind,
  first: number,
  end: number,
): Promise<void> {
  const bytes = template(SIZES[kind]);
  for (let sequence = first; sequence < end; sequence++) {
    const message = kind === "object128"
      ? publisher.fromItem(itemOf(sequence))
      : publisher.fromBytes(stamp(bytes.slice(), sequence));
    const room = publisher.publish(kind, message);
    if (room !== undefined) await room;
  }
  await publisher.flush();
}
