import { Child } from "../../../bench/child.ts";
import { residentOf } from "../../../bench/processes.ts";
import type { Values } from "../../../bench/values.ts";

const PROGRAM = new URL("./stream_program.ts", import.meta.url);
/** How often memory is looked at, in ms. */
const LOOK = 50;

/** Bytes in a MiB. */
export const MIB = 1_048_576;

/** Processes in a row, each linked to the next. */
export interface Row {
  /** The first one, `node-0`. */
  readonly sender: Child;
  /** What lies between; the receiver itself, where nothing does. */
  readonly relay: Child;
  /** The last one. */
  readonly receiver: Child;
  /** Its id. */
  readonly to: string;
}

/** Starts two processes that are linked, or three, whose ends are linked to the second. */
export async function startRow(
  processes: AsyncDisposableStack,
  isRelayed: boolean,
): Promise<Row> {
  const count = isRelayed ? 3 : 2;
  const kind = isRelayed ? "relayed" : "direct";
  const nodes = Array.from(
    { length: count },
    (_, index) =>
      processes.use(new Child(PROGRAM, { args: [`node-${index}`, kind] })),
  );
  const [sender, relay, receiver = relay] = nodes;
  if (!sender || !relay || !receiver) throw new RangeError("Too few nodes");
  const { address } = await addressOf(relay);
  await sender.ask("join", { address });
  if (receiver !== relay) await receiver.ask("join", { address });
  for (const node of nodes) {
    const linked = await node.ask("linked", { nodes: count - 1 });
    if (linked.number("nodes") === count - 1) continue;
    throw new Error("Not all nodes know each other");
  }
  return { sender, relay, receiver, to: `node-${count - 1}` };
}

async function addressOf(node: Child): Promise<{ readonly address: string }> {
  return { address: (await node.ask("listen")).text("address") };
}

/** Sends so many bytes, and waits until both ends know how it ended. */
export async function transfer(
  { sender, receiver, to }: Row,
  total: number,
  size: number,
  within: number,
): Promise<{ readonly sent: Values; readonly taken: Values }> {
  await sender.ask("send", { to, total, size });
  const sent = await sender.ask("sent", { within });
  return { sent, taken: await receiver.ask("taken", { within }) };
}

/** Watches how far the memory of processes grows beyond what they take at first. */
export class Growth implements Disposable {
  readonly #first: readonly number[];
  readonly #most: number[];
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(nodes: readonly Child[]) {
    this.#first = nodes.map(({ pid }) => residentOf(pid));
    this.#most = [...this.#first];
    this.#timer = setInterval(() => {
      for (const [i, { pid }] of nodes.entries()) {
        this.#most[i] = Math.max(this.#most[i] ?? 0, residentOf(pid));
      }
    }, LOOK);
  }

  /** By how much each grew at most, in MiB. */
  get mib(): readonly number[] {
    return this.#most.map((most, i) => most - (this.#first[i] ?? 0));
  }

  /** Stops watching. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
