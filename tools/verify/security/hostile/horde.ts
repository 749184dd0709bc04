/**
 * Strangers on a host of their own, who attack a node for some time:
 * `horde.ts HOSTNAME TCP_PORT QUIC_PORT BYSTANDER`.
 *
 * @module
 */

import { incarnationAt } from "@devts/routing";
import { framed, Stranger } from "../../cluster/stranger.ts";
import { pause, serve } from "../../../../bench/serve.ts";
import { news } from "./news.ts";
import { helloOf, introduce } from "./scene.ts";

const [hostname = "", port = "0", quicPort = "0", bystander = ""] = Deno.args;
const target = { hostname, port: Number(port) };
const counts = {
  connects: 0,
  garbage: 0,
  stalled: 0,
  datagrams: 0,
  initials: 0,
  links: 0,
  refusedLinks: 0,
  open: 0,
  mostOpen: 0,
};

type Attack = (going: () => boolean) => Promise<void>;

const attacks: Readonly<Record<string, Attack>> = {
  /** Connections that come as fast as they can, and say nothing. */
  async flood(going) {
    while (going()) {
      const conns = await Promise.allSettled(
        Array.from({ length: 16 }, () => Deno.connect(target)),
      );
      for (const conn of conns) {
        if (conn.status === "fulfilled") conn.value.close();
        counts.connects++;
      }
      await pause(1);
    }
  },
  /** Noise in place of a handshake, of TLS or of ours. */
  async garbage(going) {
    const hello = await helloOf();
    while (going()) {
      await quietly(async () => {
        using stranger = new Stranger(await Deno.connect(target));
        const noise = crypto.getRandomValues(new Uint8Array(200));
        await stranger.write(
          counts.garbage++ % 2 === 0
            ? noise
            : framed(hello.map((byte, i) => i % 17 === 0 ? byte ^ 1 : byte)),
        );
        await stranger.finish();
      });
      await pause(1);
    }
  },
  /** 500 times a second something in place of a handshake: 1,000 from both hosts. */
  async handshakes(going) {
    const start = performance.now();
    for (let sent = 0; going(); sent++) {
      const due = start + 2 * sent - performance.now();
      if (due > 0) await pause(due);
      void quietly(async () => {
        using stranger = new Stranger(await Deno.connect(target));
        await stranger.write(crypto.getRandomValues(new Uint8Array(200)));
        counts.garbage++;
        await stranger.finish();
      });
    }
  },
  /** Sockets that begin a handshake and never go on. */
  async stall(going) {
    await Promise.all(Array.from({ length: 64 }, async () => {
      while (going()) {
        await quietly(async () => {
          using stranger = new Stranger(await Deno.connect(target));
          // The beginning of a TLS record.
          await stranger.write(Uint8Array.of(0x16, 3, 1, 2, 0, 1));
          counts.stalled++;
          await stranger.receive();
        });
        await pause(5);
      }
    }));
  },
  /** Noise to the port of QUIC, and first packets of sessions that never go on. */
  async datagrams(going) {
    const quic = {
      transport: "udp",
      hostname,
      port: Number(quicPort),
    } as const;
    while (going()) {
      await quietly(async () => {
        const socket = Deno.listenDatagram({
          transport: "udp",
          hostname: "0.0.0.0",
          port: 0,
        });
        for (let i = 0; i < 100; i++) {
          const packet = crypto.getRandomValues(new Uint8Array(1_200));
          // Every other one looks like the first packet of QUIC version 1.
          if (i % 2 === 0) packet.set([0xc3, 0, 0, 0, 1, 8]);
          await socket.send(packet, quic);
          counts[i % 2 === 0 ? "initials" : "datagrams"]++;
        }
        socket.close();
      });
      await pause(5);
    }
  },
  /** Members by the hundred, all from here, who tell of others at an address that has no node. */
  async sybils(going) {
    const held: Stranger[] = [];
    for (let i = 0; i < 100 && going(); i++) {
      await quietly(async () => {
        const stranger = new Stranger(await Deno.connect(target));
        try {
          const introduced = await introduce(stranger.connection, {
            id: `sybil-${Deno.pid}-${i}`,
          });
          if (!("peer" in introduced)) throw new Error("refused");
          counts.links++;
          held.push(stranger);
          noteEnd(stranger);
        } catch {
          counts.refusedLinks++;
          stranger[Symbol.dispose]();
        }
      });
      // As many as may come from one address, and more.
      await pause(150);
      await tellOf(held.at(-1), i);
    }
    while (going()) await pause(50);
    for (const stranger of held) stranger[Symbol.dispose]();
  },
};

/** Tells of members at an address that is not theirs. */
async function tellOf(
  member: Stranger | undefined,
  round: number,
): Promise<void> {
  const incarnation = incarnationAt(Date.now());
  await member?.write(framed(news(
    Array.from({ length: 20 }, (_, i) => ({
      kind: "alive",
      id: `phantom-${round}-${i}`,
      incarnation,
      addresses: [`tcp://${bystander}:${7_000 + i}`],
    })),
  )));
}

/** Counts how many links are there at a time. */
async function noteEnd(stranger: Stranger): Promise<void> {
  counts.mostOpen = Math.max(counts.mostOpen, ++counts.open);
  while (await stranger.receive() !== null);
  counts.open--;
}

async function quietly(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch {
    // It was refused, as it should be.
  }
}

let attacking: readonly (Promise<void> | undefined)[] = [];
let isOver = false;

await serve({
  // Goes on until it is told to stop.
  attack: (args) => {
    const names = args.text("attacks").split(",");
    attacking = names.map((name) => attacks[name]?.(() => !isOver));
    return {};
  },
  counts: () => counts,
  stop: async () => {
    isOver = true;
    // A connection that is being opened may take minutes to fail.
    await Promise.race([Promise.all(attacking), pause(500)]);
    return counts;
  },
});
