/**
 * A whole node with everything that a program can put on one, to whose members it occurs
 * to send it what makes no sense: messages of honest nodes, changed. All in one process,
 * without a network.
 *
 * @module
 */

import { createNode, type Logger, type Node } from "@devts/devts";
import {
  counter,
  map,
  multiRegister,
  presence,
  register,
  set,
} from "@devts/node/state";
import { v1 } from "@devts/protocol/v1";
import { incarnationAt } from "@devts/routing";
import {
  type Connection,
  type Transport,
  wrapConnection,
  wrapTransport,
} from "@devts/transport";
import { memory, MemoryNetwork } from "@devts/transport/memory";
import { type Corpus, Mutator } from "../cluster/mutate.ts";

const CLUSTER = "verify";
const ADDRESS = "memory://target";
/** Messages that begin with the same bytes are of a kind; so many of each are kept. */
const KIND = 16;
const KEPT_OF_KIND = 10;
const LONGEST = 4_096;
const FIRST_FRAME = 0x10;
/** Bytes of the length in front of a mutant. */
const LENGTH = 4;
/** A member sends so many before the honest one asks whether all is well. */
const BETWEEN = 250;

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };
const protocol = v1();

/** Keys and elements, some of which are something else to the language. */
const KEYS = ["a", "__proto__", "constructor", "4294967295", "ä"];

/** What came of a storm. */
export interface Stormed {
  readonly sent: number;
  /** Links that the node ended. */
  readonly ended: number;
  /** The longest that the honest member waited for an answer, in ms. */
  readonly slowest: number;
  /** What should not have happened. */
  readonly faults: readonly string[];
}

/** A node under a storm of malformed messages of members, while an honest one uses it. */
export class MalformedNode implements AsyncDisposable {
  readonly #network: MemoryNetwork;
  readonly #target: Node;
  readonly #honest: Node;
  readonly #mutator: Mutator;
  #links = 0;

  private constructor(
    network: MemoryNetwork,
    nodes: { readonly target: Node; readonly honest: Node },
    mutator: Mutator,
  ) {
    this.#network = network;
    this.#target = nodes.target;
    this.#honest = nodes.honest;
    this.#mutator = mutator;
  }

  /** Makes the nodes, and lets them say everything that there is to say. */
  static async create(random: () => number): Promise<MalformedNode> {
    const network = new MemoryNetwork();
    const heard = new Heard();
    const make = (id: string) =>
      createNode({
        ...{ cluster: CLUSTER, id, logger: silent },
        transport: heard.around(memory(network)),
        // All hostile members come from one place, and none is to be turned away.
        limits: { banAfter: 2 ** 20 },
      });
    const [target, honest] = [make("target"), make("honest")];
    furnish(target);
    const converse = furnish(honest);
    await target.listen(ADDRESS);
    await honest.listen("memory://honest");
    await honest.join(ADDRESS);
    await honest.ready({ members: 1, handles: ["echo"] });
    for (let round = 0; round < 20; round++) await converse(round);
    const corpus = heard.end();
    return new MalformedNode(
      network,
      { target, honest },
      new Mutator(random, corpus),
    );
  }

  /** Sends so many messages, over as many links as that takes. */
  async storm(messages: number): Promise<Stormed> {
    const faults: string[] = [];
    let [sent, ended, slowest] = [0, 0, 0];
    while (sent < messages) {
      const connection = await this.#enter();
      for (let i = 0; i < BETWEEN && sent < messages; i++) {
        const { wire } = this.#mutator.frame();
        sent++;
        try {
          await connection.send(wire.subarray(LENGTH));
        } catch {
          ended++;
          break;
        }
      }
      await connection.close();
      const before = performance.now();
      const fault = await this.#ask(sent);
      slowest = Math.max(slowest, performance.now() - before);
      if (fault !== null) faults.push(fault);
      if (faults.length > 5) break;
    }
    return { sent, ended, slowest, faults };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#honest.close();
    await this.#target.close();
  }

  /** Whether the honest member is answered, and nothing of the language has changed. */
  async #ask(number: number): Promise<string | null> {
    const strange: unknown[] = [];
    for (const key in {}) strange.push(key);
    if (strange.length > 0) return `objects have ${strange}`;
    try {
      const signal = AbortSignal.timeout(5_000);
      const options = { signal };
      const answer = await this.#honest.request(
        "target",
        "echo",
        number,
        options,
      );
      return answer === number ? null : `it answered ${answer}`;
    } catch (error) {
      return String(error);
    }
  }

  /** A link of a member, whatever the node sends over it. */
  async #enter(): Promise<Connection> {
    const connection = await memory(this.#network).connect(ADDRESS);
    const link = this.#links++;
    await protocol.introduce(connection, {
      role: "dialer",
      self: () => ({
        cluster: CLUSTER,
        id: `hostile-${link % 16}`,
        incarnation: incarnationAt(Date.now()) + link,
        format: "msgpack",
        addresses: [],
        meta: new Uint8Array(),
        maxMessage: 1_048_576,
      }),
      admit: () => null,
    });
    (async () => {
      while (await connection.receive() !== null);
    })().catch(() => {});
    return connection;
  }
}

/** Puts everything on a node that it can carry; gives what uses all of it once. */
function furnish(node: Node): (round: number) => Promise<void> {
  node.on("echo", (value) => value);
  node.on("task.*", () => {});
  node.on("task.>", () => {}, { group: "workers" });
  node.onOpen("talk", async (stream) => {
    for await (const message of stream) await stream.send(message);
  });
  const pairs = node.use("map", map<unknown>());
  const count = node.use("counter", counter());
  const elements = node.use("set", set());
  const last = node.use("register", register<unknown>());
  const versions = node.use("versions", multiRegister<unknown>());
  const states = node.use("presence", presence<unknown>("here"));
  return async (round) => {
    const value = {
      ...{ round, list: [1, -1, 2 ** 40, 1.5, null, true] },
      bytes: new Uint8Array(round),
    };
    await node.emit("echo", value);
    await node.emit("task.one", value);
    await node.send("target", "other", round);
    await node.request("target", "echo", value);
    await node.deliver("echo", value);
    const stream = await node.open("target", "talk");
    await stream.send(value);
    await stream.receive();
    await stream.close();
    for (const key of [...KEYS, `${round}`]) {
      await pairs.set(key, value);
      await elements.add(key);
    }
    await pairs.delete(`${round - 1}`);
    await elements.delete(`${round - 1}`);
    await count.add(round);
    await last.set(round);
    await versions.set(round);
    await states.set({ round });
    const passing = node.on(`passing.${round}`, () => {});
    await node.request("target", "echo", round);
    passing[Symbol.dispose]();
  };
}

/** Messages that honest nodes send, some of each kind. */
class Heard {
  readonly #handshake: Uint8Array[] = [];
  readonly #frames: Uint8Array[] = [];
  readonly #kinds = new Map<string, number>();
  #isOver = false;

  /** All of them; from now on it hears no more. */
  end(): Corpus {
    this.#isOver = true;
    return { handshake: this.#handshake, frames: this.#frames };
  }

  around(transport: Transport): Transport {
    return wrapTransport(transport, {
      connection: (connection) =>
        wrapConnection(connection, {
          send: (message) => {
            if (!this.#isOver) this.#keep(message);
            return connection.send(message);
          },
        }),
    });
  }

  #keep(message: Uint8Array): void {
    const kind = message.subarray(0, KIND).join();
    const known = this.#kinds.get(kind) ?? 0;
    if (known >= KEPT_OF_KIND || message.length > LONGEST) return;
    this.#kinds.set(kind, known + 1);
    const isFrame = (message[0] ?? 0) >= FIRST_FRAME;
    (isFrame ? this.#frames : this.#handshake).push(message.slice());
  }
}
