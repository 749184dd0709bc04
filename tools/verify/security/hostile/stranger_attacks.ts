import { encode } from "@std/msgpack";
import { eventFrame } from "../../cluster/mutate.ts";
import { framed, type Stranger } from "../../cluster/stranger.ts";
import { pause } from "../../../../bench/serve.ts";
import { all, type Attack } from "./attack.ts";
import { spoofing, starvation } from "./network_attacks.ts";
import { bundle } from "./bundles.ts";
import { helloOf, introductionOf, type Scene } from "./scene.ts";

/** A connection that breaks the protocol is closed within so many ms: before its handshake is late. */
const AT_ONCE = 3_000;
/** What stands in front of the map of a hello: the header, "DVTS", and two versions. */
const HELLO_HEAD = 10;
const REFUSAL = 5;

/** What somebody without a place in the cluster can send. What takes a network is elsewhere. */
export const strangerAttacks: readonly Attack[] = [
  {
    row: 1,
    what: "lengths up to 4 GiB",
    target: "closed on sight of the length, and counted",
    async run(scene) {
      const lengths = [4_097, 65_536, 2 ** 20 + 1, 2 ** 31, 2 ** 32 - 1];
      const closed = await countClosed(scene, lengths.map(header));
      const counted = await scene.growsTo(
        "limits.handshakeSize",
        lengths.length,
      );
      return all({
        [`${closed} of ${lengths.length} closed`]: closed === lengths.length,
        [`${counted} counted`]: counted === lengths.length,
      });
    },
  },
  {
    row: 2,
    what: "length 0, and a hello split at each byte",
    target: "the empty one closed, each split understood",
    async run(scene, short) {
      const empty = await countClosed(scene, [header(0)]);
      const hello = framed(await helloOf({ id: "split" }));
      const step = short ? 7 : 1;
      let answered = 0;
      let splits = 0;
      for (let at = 1; at < hello.length; at += step, splits++) {
        using stranger = await scene.connect();
        await stranger.write(hello.subarray(0, at));
        await pause(0);
        await stranger.write(hello.subarray(at));
        if ((await stranger.receive())?.[0] === 2) answered++;
      }
      return all({
        "the empty one closed": empty === 1,
        [`${answered} of ${splits} splits answered`]: answered === splits,
      });
    },
  },
  {
    row: 3,
    what:
      "slow handshakes: a byte each 100 ms, for as long as the node bears it",
    target: "closed after 5 s and counted, an honest node joins within 1 s",
    async run(scene) {
      const count = 32;
      const hello = framed(await helloOf());
      const stalling = Array.from({ length: count }, async () => {
        using stranger = await scene.connect();
        const start = performance.now();
        const ended = stranger.receive();
        for (const byte of hello) {
          if (!await stranger.write(Uint8Array.of(byte))) break;
          const open = await Promise.race([ended, pause(100).then(() => true)]);
          if (open === null) break;
        }
        await ended;
        return performance.now() - start;
      });
      await pause(500);
      const joining = performance.now();
      using _good = await scene.enter({ id: "good" });
      const joined = performance.now() - joining;
      const times = await Promise.all(stalling);
      const slowest = Math.max(...times);
      const counted = await scene.growsTo("limits.handshakeTime", count);
      return all({
        [`${count} closed after ${(slowest / 1000).toFixed(1)} s`]:
          slowest < 7_000 && Math.min(...times) > 4_000,
        [`${counted} counted`]: counted === count,
        [`a good one came in within ${joined.toFixed(0)} ms`]: joined < 1_000,
      });
    },
  },
  {
    row: 5,
    what: "more connections than a node with 64 file descriptors can open",
    target: "it accepts again once there are some",
    victim: { descriptors: 64 },
    async run(scene) {
      // Without descriptors, Deno itself ends in the second or so after its start.
      await pause(2_000);
      const held: Stranger[] = [];
      for (let i = 0; i < 150; i++) held.push(await scene.connect());
      await pause(500);
      const most = await scene.openFiles();
      for (const stranger of held) stranger[Symbol.dispose]();
      const start = performance.now();
      using member = await enterSoon(scene, start + 5_000);
      const took = performance.now() - start;
      return all({
        [`${most} of 64 in use`]: most >= 62,
        [`the next one served after ${took.toFixed(0)} ms`]:
          await echoes(member) && took < 4_000,
      });
    },
  },
  starvation,
  spoofing,
  {
    row: 10,
    what: "nested, wide and lying MessagePack",
    target: "each closed, in the handshake and as data",
    async run(scene) {
      const bombs = msgpackBombs();
      const hellos = await Promise.all(bombs.map(helloWith));
      const shaken = await countClosed(scene, hellos.map(framed));
      let closed = 0;
      for (const [index, bomb] of bombs.entries()) {
        using member = await scene.enter({ id: `bomber-${index}` });
        await member.write(framed(eventFrame("echo", [...bomb])));
        if (await closes(member)) closed++;
      }
      const counted = await scene.growsTo("violations", bombs.length);
      return all({
        [`${shaken} of ${bombs.length} handshakes closed`]:
          shaken === bombs.length,
        [`${closed} of ${bombs.length} links closed`]: closed === bombs.length,
        [`${counted} violations counted`]: counted === bombs.length,
      });
    },
  },
  {
    row: 11,
    what: "a compression bomb: 64 MiB in 64 KiB, to a node with compress()",
    target: "the link closed before it is unpacked",
    async run(scene) {
      const bomb = await deflate(new Uint8Array(64 * 2 ** 20));
      let closed = 0;
      const count = 10;
      for (let i = 0; i < count; i++) {
        using member = await scene.enter({ id: `packer-${i}` });
        await member.write(framed(Uint8Array.of(0xa1, 0, 0, 0, ...bomb)));
        if (await closes(member)) closed++;
      }
      return all({
        [`${closed} of ${count} bombs of ${bomb.length} bytes closed`]:
          closed === count,
      });
    },
  },
  {
    row: 12,
    what:
      "names that are no text: broken UTF-8, a mark, NUL, line ends, too long",
    target: "each closed",
    async run(scene) {
      const names = [
        "\uFEFFverify",
        "ver\0ify",
        "ver\nify",
        "ver\u202Eify",
        "v".repeat(65),
        "v".repeat(3_000),
        "",
      ];
      const fields = (cluster: string, id: string) =>
        helloWith(encode({ ...fieldsOf(), cluster, id }));
      const hellos = await Promise.all([
        ...names.map((name) => fields(name, "mallory")),
        ...[...names, "ä", "with space"].map((id) => fields("verify", id)),
      ]);
      const broken = hellos.map(framed);
      // A cluster named by bytes that are no UTF-8.
      const whole = framed(await helloOf());
      const at = indexOf(whole, new TextEncoder().encode("verify"));
      for (const bytes of [[0xff, 0xfe], [0xc0, 0x80], [0xed, 0xa0]]) {
        const copy = whole.slice();
        copy.set(bytes, at);
        broken.push(copy);
      }
      const closed = await countClosed(scene, broken);
      return all({
        [`${closed} of ${broken.length} closed`]: closed === broken.length,
      });
    },
  },
  {
    row: 13,
    what: "all 256 types of frames, and versions that nobody speaks",
    target:
      "on a link, unknown types from 128 on are skipped and counted, all others closed; in the handshake all closed; a version is refused with ours",
    async run(scene) {
      let right = 0;
      for (let type = 0; type < 256; type++) {
        using member = await scene.enter({ id: `typist-${type}` });
        await member.write(framed(Uint8Array.of(type, 0, 0, 0, 1, 2, 3)));
        // A goodbye is heard, and what stands behind it, too.
        const isTaken = type >= 0x80 && type !== 0xa1 || type === 0x13;
        if (isTaken ? await echoes(member) : await closes(member)) right++;
      }
      const types = Array.from(
        { length: 256 },
        (_, type) => framed(Uint8Array.of(type, 0, 0, 0, 1, 2, 3)),
      );
      const closed = await countClosed(scene, types);
      const hello = await helloOf();
      hello[8] = hello[9] = 99;
      using old = await scene.connect();
      await old.write(framed(hello));
      const refusal = await old.receive();
      const text = new TextDecoder().decode(refusal ?? undefined);
      const skipped = await scene.grown("skipped");
      return all({
        [`${right} of 256 on a link`]: right === 256,
        // What the plugin takes for itself and what v1 knows is not skipped.
        [`${skipped} skipped`]: skipped >= 120,
        [`${closed} of 256 in a handshake`]: closed === 256,
        "version 99 refused with ours": refusal?.[0] === REFUSAL &&
          text.includes("99") && text.includes("1 to 1"),
      });
    },
  },
  {
    row: 14,
    what:
      "frames in the wrong state: data before the end of the handshake, a second hello, half a handshake",
    target: "each closed",
    async run(scene) {
      const hello = framed(await helloOf());
      const data = framed(eventFrame("echo", [0xc0]));
      let closed = 0;
      const tries = [[data], [hello, data], [hello, hello], [
        hello,
        hello,
        data,
      ]];
      for (const frames of tries) {
        using stranger = await scene.connect();
        for (const frame of frames) await stranger.write(frame);
        if (await closes(stranger)) closed++;
      }
      const handshakeOnLink: boolean[] = [];
      for (let type = 1; type <= 5; type++) {
        using member = await scene.enter({ id: `late-${type}` });
        await member.write(framed(Uint8Array.of(type, 0, 0, 0, 1, 2, 3)));
        handshakeOnLink.push(await closes(member));
      }
      return all({
        [`${closed} of ${tries.length} closed`]: closed === tries.length,
        "5 kinds of a handshake closed on a link": handshakeOnLink.every(
          Boolean,
        ),
        "nothing was handled": await scene.grown("unhandled") === 0,
      });
    },
  },
];

/** As an honest node does, which tries again. */
async function enterSoon(scene: Scene, end: number): Promise<Stranger> {
  for (;;) {
    try {
      return await scene.enter({ id: "late" });
    } catch (error) {
      if (performance.now() > end) throw error;
      await pause(50);
    }
  }
}

function header(length: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, length);
  return bytes;
}

/** Sends each to the victim over a connection of its own; how many were closed at once. */
async function countClosed(
  scene: Scene,
  wires: readonly Uint8Array[],
): Promise<number> {
  let closed = 0;
  for (const wire of wires) {
    using stranger = await scene.connect();
    await stranger.write(wire);
    if (await closes(stranger)) closed++;
  }
  return closed;
}

/** Whether the victim closes it at once. */
export async function closes(stranger: Stranger): Promise<boolean> {
  const last = await receiveUntil(stranger, AT_ONCE, (message) => !message);
  return last === null;
}

/** Whether the victim still answers on a link. */
export async function echoes(
  member: Stranger,
  limit: number = AT_ONCE,
): Promise<boolean> {
  const request = bundle([{ type: 1, id: 7, name: "echo", data: [0x2a] }]);
  await member.write(framed(request));
  const isReply = (message: Uint8Array | null): boolean =>
    !message || message[0] === 0x10 && message.at(-1) === 0x2a;
  return !!await receiveUntil(member, limit, isReply);
}

/** What arrives first of what is waited for, null at the end; undefined: nothing in time. */
async function receiveUntil(
  stranger: Stranger,
  limit: number,
  isWanted: (message: Uint8Array | null) => boolean,
): Promise<Uint8Array | null | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), limit);
  try {
    for (;;) {
      const message = await Promise.race([stranger.receive(), late]);
      if (message === undefined || isWanted(message)) return message;
    }
  } finally {
    clearTimeout(timer);
  }
}

/** A hello that says that. */
async function helloWith(body: Uint8Array): Promise<Uint8Array> {
  const head = (await helloOf()).subarray(0, HELLO_HEAD);
  const hello = new Uint8Array(HELLO_HEAD + body.length);
  hello.set(head);
  hello.set(body, HELLO_HEAD);
  return hello;
}

/** The fields of an honest hello. */
function fieldsOf() {
  const { cluster, id, incarnation, format, meta, maxMessage } =
    introductionOf();
  return {
    nonce: new Uint8Array(32),
    key: new Uint8Array(),
    expect: "",
    keys: [],
    cluster,
    id,
    inc: incarnation,
    format,
    addresses: [],
    meta,
    max: maxMessage,
  };
}

/** Short enough for a handshake. */
function msgpackBombs(): Uint8Array[] {
  return [
    new Array(3_900).fill(0x91), // arrays in arrays
    new Array(1_300).fill([0x81, 0xa1, 0x61]).flat(), // maps in maps
    [0xdd, 0xff, 0xff, 0xff, 0xff], // four billion items
    [0xdf, 0xff, 0xff, 0xff, 0xff],
    [0xc6, 0xff, 0xff, 0xff, 0xff, 1], // four billion bytes
    [0xdb, 0x7f, 0xff, 0xff, 0xff, 0x61],
    [0xdc, 0xff, 0xff, ...new Array(3_000).fill(0xc0)],
    [0x81, 0xa9, ...new TextEncoder().encode("__proto__"), 0x80],
    [0xc7, 4, 1, 0, 0, 0, 0], // an extension
    [0xc1],
  ].map((bytes) => Uint8Array.from(bytes));
}

async function deflate(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const stream = new Blob([bytes]).stream()
    .pipeThrough(new CompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function indexOf(bytes: Uint8Array, part: Uint8Array): number {
  return bytes.findIndex((_, at) =>
    part.every((byte, index) => bytes[at + index] === byte)
  );
}
