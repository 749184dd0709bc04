import { assert, assertEquals } from "@std/assert";
import { graph } from "./_graphs.ts";
import {
  BROADCAST,
  kindOf,
  LETTER,
  readBroadcast,
  readLetter,
  readRouted,
} from "./_map_packets.ts";
import { mapRouter } from "./map.ts";
import { seededRandom, VirtualNetwork } from "./testing.ts";
import type { LinkEvent, NodeId, RouterFactory } from "./types.ts";

const NODES = 200;
/** Time between two changes of links, and how long they go on, in ms. */
const CHANGE_INTERVAL = 50;
const DURATION = 3000;
/** Nodes that stay connected for so long must reach each other, in ms. */
const STEADY = 1000;

/** A payload that was sent, and to whom. */
interface Sent {
  readonly from: NodeId;
  readonly to: readonly NodeId[];
  readonly time: number;
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
      neighbours.set(a, [...neighbours.get(a) ?? [], b]);
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

/** A network whose links come and go while everyone sends. */
class Churn {
  readonly ids = Array.from({ length: NODES }, (_, i) => `n${i}`);
  readonly connectivity = new Connectivity(this.ids);
  readonly network: VirtualNetwork;
  readonly sent: Sent[] = [];
  readonly #random: () => number;
  readonly #links = new Set<string>();

  constructor(seed: number, latency: number) {
    this.#random = seededRandom(seed);
    this.network = new VirtualNetwork({ seed, latency, jitter: latency });
    const router: RouterFactory = (context) => {
      const made = mapRouter()(context);
      const link = made.link.bind(made);
      made.link = (event) => {
        this.connectivity.take(context.self.id, event);
        link(event);
      };
      return made;
    };
    for (const id of this.ids) this.network.add(id, { router });
    for (const [a, b] of graph("degree5", this.ids, this.#random)) {
      this.#links.add(`${a} ${b}`);
      this.network.connect(a, b);
    }
  }

  /** Lets time pass, and notes who is connected. */
  pass(ms: number): void {
    for (let passed = 0; passed < ms; passed++) {
      this.network.clock.tick(1);
      this.connectivity.note(this.network.clock.now());
    }
  }

  run(): void {
    const usual = this.#links.size;
    for (let time = 0; time < DURATION; time++) {
      if (time % CHANGE_INTERVAL === 0) this.#change(usual);
      if (time % 10 === 3) this.#sendToOne();
      if (time % 100 === 37) this.#sendToAll();
      this.pass(1);
    }
  }

  #change(usual: number): void {
    const { network } = this;
    if (this.#links.size < usual) {
      const [a, b] = [this.#any(this.ids), this.#any(this.ids)];
      if (a === b || this.#links.has(`${a} ${b}`)) return;
      this.#links.add(`${a} ${b}`);
      return network.connect(a, b);
    }
    const link = this.#any([...this.#links]);
    this.#links.delete(link);
    const [a = "", b = ""] = link.split(" ");
    if (this.#random() < 0.5) return network.disconnect(a, b);
    network.cut(a, b, "links");
    network.heal(a, b);
  }

  #sendToOne(): void {
    const from = this.#any(this.ids);
    const to = this.#any([...this.network.node(from).router.nodes]);
    this.network.node(from).send([to], this.#payload(from, [to]));
  }

  #sendToAll(): void {
    const from = this.#any(this.ids);
    const to = this.ids.filter((id) => id !== from);
    this.network.node(from).send("all", this.#payload(from, to));
  }

  #payload(from: NodeId, to: readonly NodeId[]): Uint8Array {
    const time = this.network.clock.now();
    const index = this.sent.push({ from, to, time }) - 1;
    return new Uint8Array(Uint32Array.of(index).buffer);
  }

  #any<T>(items: readonly T[]): T {
    const item = items[Math.floor(this.#random() * items.length)];
    if (item === undefined) throw new TypeError("There is none");
    return item;
  }
}

function indexOf(payload: Uint8Array): number {
  return new DataView(payload.slice().buffer).getUint32(0, true);
}

/** Throws when a packet comes to a node again that it has met. */
function watchForLoops({ network }: Churn): void {
  const seen = new Set<string>();
  const visit = (what: string): void => {
    assert(!seen.has(what), `${what}: a second time`);
    seen.add(what);
  };
  network.tap((from, to, packet) => {
    if (kindOf(packet) === BROADCAST) {
      const { isFlood, payload } = readBroadcast(packet);
      return visit(`${from} to ${to}: ${indexOf(payload)}, ${isFlood}`);
    }
    const routed = readRouted(packet);
    if (routed === null) return;
    const { kind, path, detours, content } = routed;
    assertEquals(new Set(path).size, path.length);
    assertEquals(path.indexOf(to), path.indexOf(from) + 1);
    if (kind !== LETTER) return;
    // One that came back to its origin and is sent again has made a detour more.
    visit(`${to}: ${indexOf(readLetter(content).payload)}, ${detours}`);
  });
}

for (const latency of [1, 10]) {
  Deno.test(`mapRouter() of 200 nodes loses nothing in silence while 20 links change per second (${latency} ms)`, () => {
    const churn = new Churn(latency, latency);
    churn.pass(2000);
    watchForLoops(churn);
    churn.run();
    churn.pass(3000);

    const got = new Map<string, number>();
    const reported = new Set<string>();
    for (const { id, delivered, undelivered } of churn.network.nodes) {
      for (const { payload } of delivered) {
        const key = `${indexOf(payload)} ${id}`;
        got.set(key, (got.get(key) ?? 0) + 1);
      }
      for (const { head, to, lastHop } of undelivered) {
        assert(churn.ids.includes(lastHop));
        reported.add(`${indexOf(head)} ${to}`);
      }
    }
    const counts = { delivered: 0, reported: 0, apart: 0 };
    for (const [index, { from, to, time }] of churn.sent.entries()) {
      for (const id of to) {
        const key = `${index} ${id}`;
        const times = got.get(key) ?? 0;
        assert(times <= 1, `${key}: ${times} times`);
        if (times === 1) counts.delivered++;
        else if (reported.has(key)) counts.reported++;
        else {
          const { connectivity } = churn;
          const isSteady = connectivity.isSteady(
            from,
            id,
            time - STEADY,
            time + STEADY,
          );
          assert(!isSteady, `${from} to ${id} at ${time}: lost in silence`);
          counts.apart++;
        }
      }
    }
    const { delivered, ...others } = counts;
    assert(delivered > 0.95 * (delivered + others.apart), `${delivered}`);
    assert(others.reported < 20, `${others.reported} reported`);
  });
}
