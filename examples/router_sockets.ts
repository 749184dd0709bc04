/**
 * A router alone, over another library's sockets: programs that are linked by `node:net`
 * talk to all others, also through programs between them. Nothing but `@devts/routing`
 * is imported of this project.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 examples/router_sockets.ts ada         # prints its port
 * deno run --allow-net=127.0.0.1 examples/router_sockets.ts bob 7946    # links to ada's port
 * deno run --allow-net=127.0.0.1 examples/router_sockets.ts cyd 7947    # links to bob's, and reaches ada
 * ```
 *
 * A line that is typed goes to all; `@ada hello` to ada alone.
 *
 * @module
 */
import { connect, createServer, type Socket } from "node:net";
import process from "node:process";
import {
  incarnationAt,
  type Lane,
  type NodeId,
  NodeNotFoundError,
  type Peer,
} from "@devts/routing";
import { systemClock } from "@devts/routing/clock";
import { mapRouter } from "@devts/routing/map";
import { linesOf } from "./_lines.ts";

const LANES: readonly Lane[] = ["control", "data"];
/** Bytes of a frame's header: the length of what follows, and the lane. */
const HEADER = 5;
/** The longest frame that is taken, and what a socket may hold unsent, in bytes. */
const MAX_FRAME = 1024 * 1024;
const MAX_UNSENT = 4 * 1024 * 1024;
/** Time between two attempts to link up, in ms. */
const PAUSE = 1000;

const decoder = new TextDecoder();
const encoder = new TextEncoder();

function frameOf(packet: Uint8Array, lane: Lane): Uint8Array {
  const frame = new Uint8Array(HEADER + packet.length);
  new DataView(frame.buffer).setUint32(0, packet.length);
  frame[4] = LANES.indexOf(lane);
  frame.set(packet, HEADER);
  return frame;
}

/** Cuts frames out of what a socket brings; what makes no sense ends the socket. */
function readFrames(
  socket: Socket,
  take: (packet: Uint8Array, lane: Lane) => void,
): void {
  let rest = new Uint8Array();
  socket.on("data", (chunk: Uint8Array) => {
    const bytes = new Uint8Array(rest.length + chunk.length);
    bytes.set(rest);
    bytes.set(chunk, rest.length);
    rest = bytes;
    while (rest.length >= HEADER) {
      const length = new DataView(rest.buffer, rest.byteOffset).getUint32(0);
      const lane = LANES[rest[4] ?? 0];
      if (length > MAX_FRAME || lane === undefined) {
        socket.destroy();
        return;
      }
      if (rest.length < HEADER + length) return;
      take(rest.slice(HEADER, HEADER + length), lane);
      rest = rest.subarray(HEADER + length);
    }
  });
}

/** Reads how the other end introduces itself; null: not as it should. */
function readPeer(bytes: Uint8Array): Peer | null {
  try {
    const value: unknown = JSON.parse(decoder.decode(bytes));
    if (typeof value !== "object" || value === null) return null;
    if (!("id" in value) || !("incarnation" in value)) return null;
    const { id, incarnation } = value;
    if (typeof id !== "string" || !/^[\x21-\x7e]{1,64}$/.test(id)) return null;
    if (typeof incarnation !== "number") return null;
    if (!Number.isSafeInteger(incarnation) || incarnation < 0) return null;
    return { id, incarnation, addresses: [] };
  } catch {
    return null;
  }
}

/** Runs a router over sockets; returns what sends a line that was typed. */
function runNode(id: NodeId, ports: readonly number[]): (line: string) => void {
  const self = { id, incarnation: incarnationAt(Date.now()), addresses: [] };
  const sockets = new Map<NodeId, Socket>();
  const known = new Set<NodeId>();

  const router = mapRouter()({
    self,
    clock: systemClock(),
    random: Math.random,
    links: {
      send(to, packet, lane) {
        const socket = sockets.get(to);
        if (!socket || socket.writableLength > MAX_UNSENT) return false;
        socket.write(frameOf(packet, lane));
        return true;
      },
      // The ports that are named on the command line are dialled, and no others.
      connect() {},
      disconnect: (peer) => sockets.get(peer)?.destroy(),
    },
    up: {
      deliver: (from, payload) =>
        console.log(`${from}: ${plain(decoder.decode(payload))}`),
      undelivered: (to, _head, lastHop, reason) =>
        console.log(`* ${to} was not reached: ${reason} (last at ${lastHop})`),
    },
  });

  function link(socket: Socket): void {
    let peer: Peer | null = null;
    readFrames(socket, (packet, lane) => {
      if (peer !== null) return router.receive(peer.id, packet, lane);
      peer = readPeer(packet);
      // One link to a node is enough.
      if (peer === null || peer.id === id || sockets.has(peer.id)) {
        peer = null;
        socket.destroy();
        return;
      }
      sockets.set(peer.id, socket);
      router.link({ type: "up", peer });
    });
    socket.on("error", () => {}); // "close" follows
    socket.on("close", () => {
      if (peer === null) return;
      sockets.delete(peer.id);
      router.link({ type: "down", id: peer.id, reason: "the socket closed" });
    });
    socket.write(frameOf(encoder.encode(JSON.stringify(self)), "control"));
  }

  function dial(port: number): void {
    const socket = connect({ port, host: "127.0.0.1" }, () => link(socket));
    socket.on("error", () => {});
    socket.on("close", () => setTimeout(() => dial(port), PAUSE));
  }

  /** Tells who can be reached now, and who no longer. */
  function look(): void {
    const { nodes } = router;
    for (const node of nodes) {
      if (known.has(node)) continue;
      known.add(node);
      const path = router.route(node)?.path.slice(1, -1) ?? [];
      const via = path.length > 0 ? `, by way of ${path.join(", ")}` : "";
      console.log(`* ${node} is here${via}`);
    }
    for (const node of known) {
      if (nodes.has(node)) continue;
      known.delete(node);
      console.log(`* ${node} is gone`);
    }
  }

  const server = createServer(link);
  server.listen(0, "127.0.0.1", () => {
    const address = server.address();
    if (typeof address !== "object" || address === null) return;
    console.log(`* ${id} listens on port ${address.port}`);
  });
  for (const port of ports) dial(port);
  setInterval(look, 100);

  return (line) => {
    const [, to, text = line] = /^@(\S+) (.*)$/.exec(line) ?? [];
    try {
      router.send(to === undefined ? "all" : [to], encoder.encode(text));
    } catch (error) {
      if (!(error instanceof NodeNotFoundError)) throw error;
      console.log(`* ${error.message}`);
    }
  };
}

/** What others write must not move the cursor or recolour the terminal. */
function plain(text: string): string {
  return text.replace(/\p{Cc}/gu, "\uFFFD");
}

if (import.meta.main) {
  const [id = "", ...ports] = process.argv.slice(2);
  const isSound = /^[\x21-\x7e]{1,64}$/.test(id) && !id.startsWith("-") &&
    ports.every((port) => /^\d{1,5}$/.test(port) && Number(port) < 65_536);
  if (!isSound) {
    console.log(
      "Usage: deno run --allow-net=127.0.0.1 examples/router_sockets.ts NAME [PORT...]",
    );
    process.exit(id === "--help" ? 0 : 2);
  }
  const say = runNode(id, ports.map(Number));
  for await (const line of linesOf(Deno.stdin.readable)) say(line);
  process.exit();
}
