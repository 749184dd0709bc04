/**
 * Strangers that attack a node with mutated handshakes and frames.
 *
 * @module
 */

import { v1 } from "@devts/protocol/v1";
import { incarnationAt } from "@devts/routing";
import { seededRandom } from "@devts/routing/testing";
import { converse } from "./honest.ts";
import { type Corpus, type Mutant, Mutator, requestFrame } from "./mutate.ts";
import { pause, serve } from "../../../bench/serve.ts";
import { framed, Stranger } from "./stranger.ts";

const WORKERS = 16;
const STALLED = 16;
const FRAMES_PER_LINK = 200;
const ANSWERS_WITHIN = 10_000;

const HELLO = 0x01;
const PROOF = 0x03;

const protocol = v1();
const counts = {
  handshakes: 0,
  frames: 0,
  refused: 0,
  ended: 0,
  stalled: 0,
  unanswered: 0,
};

let address = { hostname: "127.0.0.1", port: 0 };
let strangers = 0;

async function connect(): Promise<Stranger> {
  return new Stranger(await Deno.connect(address));
}

async function attackHandshake(
  mutator: Mutator,
  corpus: Corpus,
): Promise<void> {
  using stranger = await connect();
  counts.handshakes++;
  const hellos = corpus.handshake.filter(([type]) => type === HELLO);
  const proofs = corpus.handshake.filter(([type]) => type === PROOF);
  const hello = hellos[counts.handshakes % hellos.length] ?? new Uint8Array();
  let mutant: Mutant;
  if (counts.handshakes % 3 === 0) {
    // A wrong proof after a right hello.
    mutant = mutator.handshake(proofs[0] ?? new Uint8Array());
    await stranger.write(framed(hello));
    await stranger.receive();
  } else {
    mutant = mutator.handshake(hello);
  }
  await stranger.write(mutant.wire);
  if (!await stranger.finish()) counts.refused++;
}

async function attackLink(
  mutator: Mutator,
  worker: number,
  left: () => boolean,
): Promise<void> {
  using stranger = await connect();
  if (!await introduce(stranger, worker)) return;
  for (let i = 0; i < FRAMES_PER_LINK && left(); i++) {
    const { wire, lies } = mutator.frame();
    counts.frames++;
    const isOpen = await stranger.write(wire) && !lies &&
      await echoes(stranger);
    if (isOpen) continue;
    counts.ended++;
    await stranger.finish();
    return;
  }
}

async function introduce(stranger: Stranger, worker: number): Promise<boolean> {
  try {
    const introduced = await protocol.introduce(stranger.connection, {
      role: "dialer",
      self: () => ({
        cluster: "verify",
        id: `stranger-${worker}`,
        // All that connect are different runs of a few programs.
        incarnation: incarnationAt(Date.now()) + strangers++ % 4096,
        format: "msgpack",
        addresses: ["tcp://127.0.0.9:9"],
        meta: new Uint8Array(),
        maxMessage: 1_048_576,
      }),
      admit: () => null,
    });
    return "peer" in introduced;
  } catch {
    return false;
  }
}

/** Whether the target still answers on this link. */
async function echoes(stranger: Stranger): Promise<boolean> {
  const token = crypto.getRandomValues(new Uint8Array(8));
  const request = requestFrame("echo", counts.frames, [
    0xc4,
    token.length,
    ...token,
  ]);
  if (!await stranger.write(framed(request))) return false;
  const timer = setTimeout(() => {
    counts.unanswered++;
    stranger[Symbol.dispose]();
  }, ANSWERS_WITHIN);
  try {
    for (;;) {
      const message = await stranger.receive();
      if (message === null) return false;
      if (
        token.every((byte, i) =>
          message[message.length - token.length + i] === byte
        )
      ) return true;
    }
  } finally {
    clearTimeout(timer);
  }
}

/** Half a handshake, for as long as the other end bears it. */
async function stall(corpus: Corpus, going: () => boolean): Promise<void> {
  while (going()) {
    using stranger = await connect();
    const [hello = new Uint8Array()] = corpus.handshake;
    await stranger.write(framed(hello).subarray(0, 40));
    await stranger.receive();
    counts.stalled++;
  }
}

let corpus: Corpus = { handshake: [], frames: [] };

await serve({
  honest: async (args) => {
    const target = args.text("address");
    corpus = await converse(target, args.number("rounds"));
    address = {
      hostname: "127.0.0.1",
      port: Number(target.slice(target.lastIndexOf(":") + 1)),
    };
    return { handshake: corpus.handshake.length, frames: corpus.frames.length };
  },
  attack: async (args) => {
    const mutator = new Mutator(seededRandom(args.number("seed")), corpus);
    const handshakes = args.number("handshakes");
    const frames = args.number("frames");
    let going = true;
    const stalling = Array.from(
      { length: STALLED },
      () => stall(corpus, () => going),
    );
    await Promise.all(Array.from({ length: WORKERS }, async (_, worker) => {
      while (counts.handshakes < handshakes || counts.frames < frames) {
        if (counts.handshakes < handshakes) {
          await attackHandshake(mutator, corpus);
        }
        const left = () => counts.frames < frames;
        if (left()) await attackLink(mutator, worker, left);
        await pause(0);
      }
    }));
    going = false;
    await Promise.all(stalling);
    return counts;
  },
});
