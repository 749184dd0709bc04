import { names } from "./cluster.ts";
import { contentOf, marked } from "./marked.ts";
import type { Parts } from "./parts.ts";
import type { LinkEvent, NodeId, RouterFactory } from "@devts/routing";
import {
  graph,
  type Scenario,
  type ScenarioRun,
  type Timed,
  type VirtualNetwork,
} from "@devts/routing/testing";

const NODES = 200;
/** Time between two changes of links, and how long they go on, in ms. */
const CHANGE_INTERVAL = 50;
const LENGTH = 3_000;
/** Before the first change, and after the last one, in ms. */
const SETTLE = 2_000;
const ARRIVAL = 5_000;
/** Time between two payloads to one node, and to all, in ms. */
const ONE_INTERVAL = 10;
const ALL_INTERVAL = 100;
/** Nodes that stay connected for so long before and after must reach each other, in ms. */
const STEADY = 1_000;

/** A link that comes or goes; the numbers from 0 to 1 choose it. */
interface Change extends Timed {
  readonly one: number;
  readonly other: number;
  /** Whether what is on the link as it goes is lost. */
  readonly isCut: boolean;
}

/** A payload that was sent, and to whom. */
interface Sent {
  readonly from: NodeId;
  readonly to: readonly NodeId[];
  readonly at: number;
}

/** Links come and go 20 times a second while everyone sends. */
export function churn(parts: Parts): Scenario<Change> {
  return {
    name: "churn",
    script: (random) =>
      Array.from({ length: LENGTH / CHANGE_INTERVAL }, (_, at) => ({
        at: at * CHANGE_INTERVAL,
        one: random(),
        other: random(),
        isCut: random() < 0.5,
      })),
    run: (run) => new Churn(run, parts).run(),
  };
}

class Churn {
  readonly #network: VirtualNetwork;
  readonly #script: readonly Change[];
  readonly #ids = names(NODES);
  readonly #connectivity = new Connectivity(this.#ids);
  readonly #links = new Set<string>();
  readonly #sent: Sent[] = [];

  constructor(run: ScenarioRun<Change>, parts: Parts) {
    const latency = run.seed % 2 === 0 ? 1 : 10;
    this.#network = run.network({ latency, jitter: latency });
    this.#script = run.script;
    for (const id of this.#ids) {
      this.#network.add(id, { router: this.#watched(parts.router.make()) });
    }
    const links = graph("degree5", this.#ids, this.#network.random);
    for (const [a, b] of links) {
      this.#links.add(`${a} ${b}`);
      this.#network.connect(a, b);
    }
  }

  run(): Readonly<Record<string, number>> {
    const { clock } = this.#network;
    this.#pass(SETTLE);
    this.#watchForLoops();
    const usual = this.#links.size;
    for (const change of this.#script) {
      clock.after(change.at, () => this.#change(change, usual));
    }
    for (let time = 0; time < LENGTH; time++) {
      if (time % ONE_INTERVAL === 3) this.#sendToOne();
      if (time % ALL_INTERVAL === 37) this.#sendToAll();
      this.#pass(1);
    }
    this.#pass(ARRIVAL);
    return this.#count();
  }

  /** Lets time pass, and notes who is connected. */
  #pass(ms: number): void {
    for (let passed = 0; passed < ms; passed++) {
      this.#network.clock.tick(1);
      this.#connectivity.note(this.#network.clock.now());
    }
  }

  #watched(factory: RouterFactory): RouterFactory {
    return (context) => {
      const router = factory(context);
      const link = router.link.bind(router);
      router.link = (event) => {
        this.#connectivity.take(context.self.id, event);
        link(event);
      };
      return router;
    };
  }

  #change({ one, other, isCut }: Change, usual: number): void {
    if (this.#links.size < usual) {
      const [a, b] = [pick(this.#ids, one), pick(this.#ids, other)];
      const isLinked = this.#links.has(`${a} ${b}`) ||
        this.#links.has(`${b} ${a}`);
      if (a === b || isLinked) return;
      this.#links.add(`${a} ${b}`);
      return this.#network.connect(a, b);
    }
    const link = pick([...this.#links], one);
    this.#links.delete(link);
    const [a = "", b = ""] = link.split(" ");
    if (!isCut) return this.#network.disconnect(a, b);
    this.#network.cut(a, b, "links");
    this.#network.heal(a, b);
  }

  #sendToOne(): void {
    const { random } = this.#network;
    const from = pick(this.#ids, random());
    const { nodes } = this.#network.node(from).router;
    if (nodes.size === 0) return;
    const to = pick([...nodes], random());
    this.#network.node(from).send([to], this.#payload(from, [to]));
  }

  #sendToAll(): void {
    const from = pick(this.#ids, this.#network.random());
    const to = this.#ids.filter((id) => id !== from);
    this.#network.node(from).send("all", this.#payload(from, to));
  }

  #payload(from: NodeId, to: readonly NodeId[]): Uint8Array {
    const index = this.#sent.push({
      from,
      to,
      at: this.#network.clock.now(),
    }) - 1;
    return marked(to.length > 1 ? 1 : 0, index >> 8, index & 255);
  }

  /**
   * A packet to one node travels as it is, so it looped where a node gets the same bytes
   * twice; one to all may come to a node by each of its links, once.
   */
  #watchForLoops(): void {
    const seen = new Set<string>();
    this.#network.tap((from, to, packet) => {
      const content = contentOf(packet);
      if (content === null) return;
      const isToAll = content[0] === 1;
      const what = `${isToAll ? from : ""} ${to} ${packet.join()}`;
      if (seen.has(what)) throw new Error(`"${to}" got a packet twice: a loop`);
      seen.add(what);
    });
  }

  #count(): Readonly<Record<string, number>> {
    const got = new Map<string, number>();
    const reported = new Set<string>();
    for (const { id, delivered, undelivered } of this.#network.nodes) {
      for (const { payload } of delivered) {
        const key = `${indexOf(payload)} ${id}`;
        got.set(key, (got.get(key) ?? 0) + 1);
      }
      for (const { head, to } of undelivered) {
        reported.add(`${indexOf(head)} ${to}`);
      }
    }
    const counts = { delivered: 0, reported: 0, apart: 0 };
    for (const [index, { from, to, at }] of this.#sent.entries()) {
      for (const id of to) {
        const key = `${index} ${id}`;
        const times = got.get(key) ?? 0;
        if (times > 1) throw new Error(`"${id}" got a payload ${times} times`);
        if (times === 1) counts.delivered++;
        else if (reported.has(key)) counts.reported++;
        else if (
          this.#connectivity.isSteady(from, id, at - STEADY, at + STEADY)
        ) {
          throw new Error(
            `lost in silence at ${at} ms: from "${from}" to "${id}"`,
          );
        } else counts.apart++;
      }
    }
    return {
      "delivered": counts.delivered,
      "reported lost": counts.reported,
      "lost between nodes that were parted": counts.apart,
    };
  }
}

/** Which nodes were connected, and when. */
class Connectivity {
  readonly #ids: readonly NodeId[];
  /** Ends of links that are up: `a b`. */
  readonly #ends = new Set<string>();
  readonly #parts: { since: number; part: Map<NodeId, NodeId> }[] = [];
  #changed = true;

  constructor(ids: readonly NodeId[]) {
    this.#ids = ids;
  }

  take(id: NodeId, event: LinkEvent): void {
    this.#changed = true;
    if (event.type === "up") this.#ends.add(`${id} ${event.peer.id}`);
    else this.#ends.delete(`${id} ${event.id}`);
  }

  note(now: number): void {
    if (!this.#changed) return;
    this.#changed = false;
    const neighbours = new Map<NodeId, NodeId[]>();
    for (const end of this.#ends) {
      const [a = "", b = ""] = end.split(" ");
      if (!this.#ends.has(`${b} ${a}`)) continue;
      const known = neighbours.get(a);
      if (known === undefined) neighbours.set(a, [b]);
      else known.push(b);
    }
    const part = new Map<NodeId, NodeId>();
    for (const root of this.#ids) {
      if (part.has(root)) continue;
      const found = new Set([root]);
      for (const id of found) {
        part.set(id, root);
        for (const other of neighbours.get(id) ?? []) found.add(other);
      }
    }
    this.#parts.push({ since: now, part });
  }

  /** Whether two nodes were connected all the time from `start` to `end`. */
  isSteady(a: NodeId, b: NodeId, start: number, end: number): boolean {
    return this.#parts.every(({ since, part }, i) => {
      const until = this.#parts[i + 1]?.since ?? Infinity;
      return until <= start || since >= end || part.get(a) === part.get(b);
    });
  }
}

function pick<T>(items: readonly T[], by: number): T {
  const item = items[Math.floor(by * items.length)];
  if (item === undefined) throw new TypeError("There is nothing to pick");
  return item;
}

/** The number of a payload of ours; null: it is not one. */
function indexOf(payload: Uint8Array): number | null {
  const [, high = 0, low = 0] = contentOf(payload) ?? [];
  return contentOf(payload) && high * 256 + low;
}
