/**
 * A router alone, inside somebody else's program: four workers in a ring, linked by
 * plain `MessagePort`s, reach each other through those between them. Nothing but
 * `@devts/routing` is imported.
 *
 * ```sh
 * deno run --allow-read=. examples/router_alone.ts
 * ```
 *
 * @module
 */
import {
  incarnationAt,
  type Lane,
  type NodeId,
  type Peer,
} from "@devts/routing";
import { systemClock } from "@devts/routing/clock";
import { mapRouter } from "@devts/routing/map";

/** What the program tells a worker. */
type Order =
  | { readonly do: "link"; readonly port: MessagePort }
  | { readonly do: "unlink"; readonly id: NodeId }
  | { readonly do: "say"; readonly text: string; readonly to: NodeId | "all" };

/** What a worker tells the program: a line to print, or how many others it can reach. */
type News = string | number;

/** What goes over a link: first who is there, then packets. */
type Parcel = Peer | { readonly packet: Uint8Array; readonly lane: Lane };

// -- In a worker --

/** Runs a router over whatever ports it is given. */
function runNode(id: NodeId, program: MessagePort): void {
  const self = { id, incarnation: incarnationAt(Date.now()), addresses: [] };
  const ports = new Map<NodeId, MessagePort>();
  let reached = 0;

  const router = mapRouter()({
    self,
    clock: systemClock(),
    random: Math.random,
    links: {
      send(to, packet, lane) {
        ports.get(to)?.postMessage({ packet, lane });
        return ports.has(to);
      },
      // The program decides who is linked to whom.
      connect() {},
      disconnect: unlink,
    },
    up: {
      deliver: (from, payload) =>
        tell(`${id} heard "${new TextDecoder().decode(payload)}" from ${from}`),
      undelivered: (to, _head, lastHop, reason) =>
        tell(`${id} did not reach ${to}: ${reason} (last at ${lastHop})`),
    },
  });

  function link(port: MessagePort): void {
    let peer: NodeId | null = null;
    port.onmessage = ({ data }: MessageEvent<Parcel>) => {
      if ("id" in data) {
        peer = data.id;
        ports.set(peer, port);
        router.link({ type: "up", peer: data });
      } else if (peer !== null) router.receive(peer, data.packet, data.lane);
      if (router.nodes.size === reached) return;
      reached = router.nodes.size;
      tell(reached);
    };
    port.postMessage(self);
  }

  function unlink(peer: NodeId): void {
    ports.get(peer)?.close();
    ports.delete(peer);
    router.link({ type: "down", id: peer, reason: "unlinked" });
  }

  function say(text: string, to: NodeId | "all"): void {
    const via = to === "all" ? "" : `, by way of ${router.route(to)?.path[1]}`;
    tell(`${id} says "${text}" to ${to}${via}`);
    router.send(to === "all" ? to : [to], new TextEncoder().encode(text));
  }

  function tell(news: News): void {
    program.postMessage(news);
  }

  program.onmessage = ({ data: order }: MessageEvent<Order>) => {
    if (order.do === "link") link(order.port);
    else if (order.do === "unlink") unlink(order.id);
    else say(order.text, order.to);
  };
}

// -- In the program --

/** A worker, seen from the program. */
class Worked {
  readonly id: NodeId;
  readonly #worker = new Worker(import.meta.url, { type: "module" });
  readonly #port: MessagePort;
  readonly #waiting = new Map<News, () => void>();

  constructor(id: NodeId) {
    const { port1, port2 } = new MessageChannel();
    this.id = id;
    this.#port = port1;
    this.#worker.postMessage({ id, port: port2 }, [port2]);
    port1.onmessage = ({ data: news }: MessageEvent<News>) => {
      if (typeof news === "string") console.log(news);
      this.#waiting.get(news)?.();
    };
  }

  tell(order: Order): void {
    this.#port.postMessage(order, "port" in order ? [order.port] : []);
  }

  /** Resolves once the worker has told something. */
  told(news: News): Promise<void> {
    return new Promise((resolve) => this.#waiting.set(news, resolve));
  }

  end(): void {
    this.#worker.terminate();
    this.#port.close();
  }
}

function link(a: Worked, b: Worked): void {
  const { port1, port2 } = new MessageChannel();
  a.tell({ do: "link", port: port1 });
  b.tell({ do: "link", port: port2 });
}

async function main(): Promise<void> {
  const ada = new Worked("ada");
  const bob = new Worked("bob");
  const cyd = new Worked("cyd");
  const dan = new Worked("dan");
  const all = [ada, bob, cyd, dan];

  const ready = Promise.all(all.map((node) => node.told(3)));
  link(ada, bob);
  link(bob, cyd);
  link(cyd, dan);
  link(dan, ada);
  await ready;
  console.log("ada, bob, cyd and dan form a ring, and have a map of it");

  const first = cyd.told('cyd heard "hello" from ada');
  ada.tell({ do: "say", text: "hello", to: "cyd" });
  await first;

  console.log("the link between ada and bob ends");
  ada.tell({ do: "unlink", id: "bob" });
  bob.tell({ do: "unlink", id: "ada" });
  const second = cyd.told('cyd heard "hello again" from ada');
  ada.tell({ do: "say", text: "hello again", to: "cyd" });
  await second;

  const others = all.filter((node) => node !== ada);
  const last = Promise.all(
    others.map((node) => node.told(`${node.id} heard "good night" from ada`)),
  );
  ada.tell({ do: "say", text: "good night", to: "all" });
  await last;
  for (const node of all) node.end();
}

if ("WorkerGlobalScope" in globalThis) {
  addEventListener("message", (event) => {
    if (!(event instanceof MessageEvent)) return;
    const { id, port }: { id: NodeId; port: MessagePort } = event.data;
    runNode(id, port);
  }, { once: true });
} else if (import.meta.main) {
  if (!Deno.args.includes("--help")) await main();
  else console.log("Usage: deno run --allow-read=. examples/router_alone.ts");
}
