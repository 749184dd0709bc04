import { createNode } from "@devts/devts";
import { quic } from "@devts/transport/quic";
import { Child } from "../../../../bench/child.ts";
import { pause, silent, until } from "../../../../bench/serve.ts";
import { Stranger } from "../../cluster/stranger.ts";
import { all, type Attack, type Trial } from "./attack.ts";
import type { Events } from "./events.ts";
import { firstPackets } from "./initials.ts";
import { Memory, type Scene } from "./scene.ts";

/** Descriptors of a node that a flood uses up. */
const DESCRIPTORS = 128;
/** What a session takes at most that nobody reads, in MB, and what that costs, in MiB. */
const UNREAD = 20;
const MEMORY = 32;
/** Streams of a session, by the settings of quic(). */
const STREAMS = 8;
/** What one stream takes at most that nobody reads, and more, in bytes. */
const OFFERED = 8 * 2 ** 20;

/** Stalled handshakes that take up all descriptors. */
export const starvation: Attack = {
  row: 5,
  what:
    `stalled TLS handshakes that use up the ${DESCRIPTORS} file descriptors of a node`,
  target:
    "its links stay, it still dials, and a newcomer joins once they are gone",
  victim: { descriptors: DESCRIPTORS, handshakeTime: 2_000, isSecret: true },
  async run(scene, short) {
    const attack = new Stalling(scene, 200);
    const other = memberOf(scene, "dialled");
    try {
      const address = await other.listen("tcp://127.0.0.1:0");
      await until(() => attack.most >= DESCRIPTORS, 30_000);
      if (!short) await pause(20_000);
      const dialled = await soon(async () =>
        (await scene.victim.ask("join", { address })).number("found") === 1
      );
      await attack.end();
      await using late = memberOf(scene, "late");
      const joined = await soon(async () =>
        await late.join(`tcp://127.0.0.1:${scene.port}`) === 1
      );
      const leaked = await scene.grown("limits.stalledHandshakes");
      return all({
        [`${attack.most} of ${DESCRIPTORS} in use`]: attack.most >= DESCRIPTORS,
        [`${attack.stalled} stalled`]: attack.stalled > DESCRIPTORS,
        [`${leaked} sockets that could not be closed`]: leaked > 0 &&
          leaked <= 64,
        [`dialled another member meanwhile after ${inSeconds(dialled)}`]:
          dialled < 10_000,
        [`a new one joined ${inSeconds(joined)} after the end`]: joined < 5_000,
      });
    } finally {
      await attack.end();
      await other.close();
    }
  },
};

/** First packets of QUIC whose senders do not exist. */
export const spoofing: Attack = {
  row: 8,
  what:
    "valid first packets of QUIC from 250 addresses that send nothing else, 500 a second",
  target: "a node joins over QUIC meanwhile, as many places taken as there are",
  victim: { isSecret: true },
  async run(scene, short) {
    const packets = await firstPackets(short ? 600 : 2_000);
    const listening = await scene.victim.ask("listen", {
      address: "quic://127.0.0.1:0",
    });
    const address = listening.text("address");
    const port = Number(address.split(":").at(-1));
    const end = performance.now() + (short ? 4_000 : 12_000);
    let sent = 0;
    let isOver = false;
    const flooding = (async () => {
      for (; !isOver; sent++) {
        const packet = packets[sent % packets.length];
        if (packet) await sendFrom(`127.0.1.${1 + sent % 250}`, packet, port);
        await pause(2);
      }
    })();
    // So that all places are taken.
    await pause(1_000);
    await using late = createNode<Events>({
      cluster: "verify",
      id: "late",
      transport: quic(),
      logger: silent,
      ...scene.secret && { secret: scene.secret },
    });
    const start = performance.now();
    const joined = await late.join(address);
    const took = performance.now() - start;
    await pause(end - performance.now());
    // A busy machine sends fewer of them.
    const refused = await scene.growsTo("refused", 21, 30_000);
    isOver = true;
    await flooding;
    return all({
      [`${sent} packets`]: sent > 100,
      [`${refused} given up`]: refused > 20,
      [`a new node joined after ${took.toFixed(0)} ms`]: joined === 1 &&
        took < 10_000,
    });
  },
};

/** Streams of QUIC that nobody reads. */
export const unreadStreams: Trial = {
  row: 9,
  what:
    "as many streams of QUIC as there may be, each with as much as it takes, to a program that reads none",
  target:
    `${STREAMS} streams of a session, none of one direction, at most ${UNREAD} MB taken and +${MEMORY} MiB`,
  async run() {
    await using child = new Child(new URL("unread.ts", import.meta.url), {
      flags: ["-A", "--unstable-net"],
    });
    const where = await child.ask("where");
    const endpoint = new Deno.QuicEndpoint({ hostname: "127.0.0.1", port: 0 });
    const conn = await Deno.connectQuic<false>({
      hostname: "127.0.0.1",
      port: Number(where.text("address").split(":").at(-1)),
      endpoint,
      serverName: "any.devts.internal",
      alpnProtocols: ["devts/1"],
      caCerts: [where.text("authority")],
    });
    conn.closed.catch(() => {});
    const memory = new Memory(child.pid);
    let taken = 0;
    const streams = await openAll(conn);
    for (const { writable } of streams) {
      const writer = writable.getWriter();
      const flooding = (async () => {
        for (let i = 0; i < OFFERED / 16_384; i++) {
          await writer.ready;
          await writer.write(new Uint8Array(16_384));
          taken += 16_384;
        }
      })().catch(() => {});
      await Promise.race([flooding, pause(500)]);
    }
    const oneWay = await conn.createUnidirectionalStream()
      .then(() => true, () => false);
    const growth = memory.stop();
    conn.close({ closeCode: 0, reason: "" });
    endpoint.close();
    return all({
      [`${streams.length} streams`]: streams.length === STREAMS,
      "none of one direction": !oneWay,
      [`${(taken / 1e6).toFixed(1)} MB taken`]: taken > 1e6 &&
        taken <= UNREAD * 1e6,
      [`+${growth.toFixed(1)} MiB`]: growth <= MEMORY,
    });
  },
};

/** Tries until it works; after how many ms it did. */
async function soon(work: () => Promise<boolean>): Promise<number> {
  const start = performance.now();
  while (!await work()) {
    if (performance.now() - start > 15_000) return Infinity;
    await pause(100);
  }
  return performance.now() - start;
}

function inSeconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}

/** Opens streams until no more may be. */
async function openAll(
  conn: Deno.QuicConn,
): Promise<Deno.QuicBidirectionalStream[]> {
  const streams: Deno.QuicBidirectionalStream[] = [];
  try {
    while (streams.length < 100) {
      streams.push(await conn.createBidirectionalStream());
    }
  } catch {
    // These are all.
  }
  return streams;
}

/** A node that knows the secret. */
function memberOf({ secret }: Scene, id: string) {
  return createNode<Events>({
    cluster: "verify",
    id,
    logger: silent,
    ...secret && { secret },
  });
}

/** Sends one packet from an address that is then nobody's. */
async function sendFrom(
  hostname: string,
  packet: Uint8Array,
  port: number,
): Promise<void> {
  const socket = Deno.listenDatagram({ transport: "udp", hostname, port: 0 });
  try {
    await socket.send(packet, {
      transport: "udp",
      hostname: "127.0.0.1",
      port,
    });
  } finally {
    socket.close();
  }
}

/** Connections that begin a handshake of TLS and never go on, and come again once closed. */
class Stalling {
  /** How many began. */
  stalled = 0;
  /** The most descriptors that the victim had open. */
  most = 0;
  readonly #scene: Scene;
  readonly #running: Promise<unknown>;
  readonly #held = new Set<Stranger>();
  #isOver = false;

  constructor(scene: Scene, count: number) {
    this.#scene = scene;
    this.#running = Promise.all([
      this.#watch(),
      ...Array.from({ length: count }, () => this.#stall()),
    ]);
  }

  /** Lets go of all of them. */
  async end(): Promise<void> {
    this.#isOver = true;
    for (const stranger of this.#held) stranger[Symbol.dispose]();
    this.#held.clear();
    await this.#running;
  }

  async #watch(): Promise<void> {
    while (!this.#isOver) {
      this.most = Math.max(this.most, await this.#scene.openFiles());
      await pause(100);
    }
  }

  async #stall(): Promise<void> {
    while (!this.#isOver) {
      const { hostname, port } = this.#scene;
      // Refused while a listener makes way for the next one.
      const conn = await Deno.connect({ hostname, port }).catch(() => null);
      if (conn === null) {
        await pause(20);
        continue;
      }
      const stranger = new Stranger(conn);
      this.#held.add(stranger);
      // The beginning of a record of TLS.
      await stranger.write(Uint8Array.of(0x16, 3, 1, 2, 0, 1));
      this.stalled++;
      await stranger.receive();
      if (this.#held.delete(stranger)) stranger[Symbol.dispose]();
      await pause(20);
    }
  }
}
