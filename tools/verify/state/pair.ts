import { Node, type NodeParts, nodeParts } from "@devts/devts";
import {
  counter,
  map,
  type ReplicatedCounter,
  type ReplicatedMap,
} from "@devts/node/state";
import { incarnationAt } from "@devts/routing";
import { heartbeat } from "@devts/routing/heartbeat";
import { seededRandom, VirtualClock } from "@devts/routing/testing";
import { type Connection, wrapConnection } from "@devts/transport";
import { memory, MemoryNetwork } from "@devts/transport/memory";
import { silent } from "../../../bench/serve.ts";

/** How long a node is there before it does something, and after, in ms. */
const STAY = 10_000;
const NOON = Date.UTC(2026, 0, 1, 12);

/** A node's part of the state. */
export interface Part {
  readonly cart: ReplicatedMap<string>;
  readonly visits: ReplicatedCounter;
}

/**
 * Two nodes in one process and in virtual time, and what travels between them; further
 * ones come and go.
 */
export class Pair implements AsyncDisposable {
  readonly clock = new VirtualClock();
  readonly one: ReplicatedMap<string>;
  readonly other: ReplicatedMap<string>;
  readonly visits: readonly ReplicatedCounter[];
  /** Bytes sent by both. */
  bytes = 0;
  readonly #network = new MemoryNetwork();
  readonly #nodes: readonly Node[];
  #isCut = false;

  constructor() {
    this.#nodes = ["one", "other"].map((id) => new Node(this.#parts(id)));
    const parts = this.#nodes.map(use);
    const [one, other] = parts;
    if (!one || !other) throw new Error("There are two nodes");
    this.one = one.cart;
    this.other = other.cart;
    this.visits = parts.map(({ visits }) => visits);
  }

  /** Brings them together. */
  async join(): Promise<void> {
    const [one, other] = this.#nodes;
    if (!one || !other) return;
    await this.clock.settle(one.listen("memory://one"));
    await this.clock.settle(other.listen("memory://other"));
    await this.clock.settle(other.join("memory://one"));
    await this.clock.pass(1_000);
  }

  /** Another node comes, does some work and, a while later, goes. */
  async visit(id: string, work: (part: Part) => void): Promise<void> {
    const node = new Node(this.#parts(id));
    const part = use(node);
    await this.clock.settle(node.join("memory://one"));
    await this.clock.pass(STAY);
    work(part);
    await this.clock.pass(STAY);
    await this.clock.settle(node.close());
  }

  /** What is sent from now on is lost, or no longer. */
  cut(isCut: boolean): void {
    this.#isCut = isCut;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.clock.settle(
      Promise.all(this.#nodes.map((node) => node.close())),
    );
  }

  #parts(id: string): NodeParts {
    const { clock } = this;
    const parts = nodeParts({
      cluster: "verify",
      id,
      transport: memory(this.#network),
      // What is not measured takes little.
      membership: heartbeat({ interval: 10_000, timeout: 40_000 }),
      logger: silent,
    });
    return {
      ...parts,
      incarnations: {
        ...parts.incarnations,
        first: incarnationAt(NOON + clock.now()),
      },
      link: (connection) => this.#counted(connection),
      clock,
      wallClock: () => NOON + clock.now(),
      random: seededRandom(id.length),
    };
  }

  #counted(connection: Connection): Connection {
    return wrapConnection(connection, {
      send: (message) => {
        if (this.#isCut) return Promise.resolve();
        this.bytes += message.length;
        return connection.send(message);
      },
    });
  }
}

function use(node: Node): Part {
  const options = { replicas: 2 };
  return {
    cart: node.use("cart", map<string>(options)),
    visits: node.use("visits", counter(options)),
  };
}
