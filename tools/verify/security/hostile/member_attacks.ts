import { createNode, type Node } from "@devts/devts";
import { hopRouter } from "@devts/routing/hop";
import { incarnationAt } from "@devts/routing";
import { memory, MemoryNetwork } from "@devts/transport/memory";
import { wrapConnection, wrapTransport } from "@devts/transport";
import { pause, silent, until } from "../../../../bench/serve.ts";
import { framed, type Stranger } from "../../cluster/stranger.ts";
import { all, type Attack, type Trial } from "./attack.ts";
import { bundle, type Entry } from "./bundles.ts";
import { forgedRelay, replayedLink } from "./forgeries.ts";
import type { Events } from "./events.ts";
import { forgeAsGuest } from "./forged.ts";
import { memberLies } from "./member_lies.ts";
import { news, type Rumour } from "./news.ts";
import { Memory, type Outcome, type Scene } from "./scene.ts";
import { closes, echoes } from "./stranger_attacks.ts";

/** The highest incarnation that can be told. */
const HIGHEST = Number.MAX_SAFE_INTEGER;

/** What somebody with a place in the cluster can do. What takes a network is elsewhere. */
export const memberAttacks: readonly Attack[] = [
  {
    row: 15,
    what:
      "events of 1,000,000 names that nobody handles (100,000 in the short form)",
    target:
      "passed over and counted, memory at most +16 MiB once they are through",
    async run(scene, short) {
      const count = short ? 100_000 : 1_000_000;
      using member = await scene.enter();
      await scene.victim.ask("settle");
      const memory = new Memory(scene.victim.pid);
      for (let at = 0; at < count; at += 200) {
        const entries = Array.from({ length: 200 }, (_, i): Entry => ({
          type: 0x20,
          name: String(1_000_000_000 + at + i),
        }));
        await member.write(framed(bundle(entries)));
        await pause(0); // the honest node lives in the same process
      }
      const isThrough = await echoes(member, 60_000);
      const counted = await scene.grown("unhandled");
      await scene.victim.ask("settle");
      const growth = memory.now();
      memory.stop();
      return all({
        [`${counted} of ${count} names passed over and counted`]: isThrough &&
          counted === count,
        [`memory +${growth.toFixed(1)} MiB after them`]: growth <= 16,
      });
    },
  },
  {
    row: 16,
    what: "50,000 members whose ids are numbers that collide in a hash table",
    target:
      "at most 3 times as long as 50,000 other ids take, at most 10,000 believed in",
    async run(scene) {
      using member = await scene.enter();
      const plain = await tellOf(member, (i) => `x${i * 64}`);
      const most = Math.max(500, 3 * plain);
      let colliding = Infinity;
      // Others want the processor too: what is slow by itself is slow each time.
      for (let turn = 0; turn < 3 && colliding >= most; turn++) {
        const from = 2 ** 31 + 64 * 50_000 * turn;
        const took = await tellOf(member, (i) => `${from + i * 64}`);
        colliding = Math.min(colliding, took);
      }
      const members = (await scene.victim.ask("report")).number("members");
      const full = await scene.grown("limits.members");
      return all({
        [
          `through in ${colliding.toFixed(0)} ms, others in ${
            plain.toFixed(0)
          } ms`
        ]: colliding < most,
        [`${full} turned away`]: full > 50_000,
        [`${members} members`]: members <= 10_000,
      });
    },
  },
  {
    row: 18,
    what: "events under the name of another node, peerRouter()",
    target: "all count as those of the node whose link they came by",
    async run(scene) {
      using member = await scene.enter();
      const entries = Array.from({ length: 100 }, (): Entry => ({
        name: "count",
        data: [1],
      }));
      await member.write(framed(bundle(entries)));
      await echoes(member);
      const own = await scene.victim.ask("counted", { from: "mallory" });
      const other = await scene.victim.ask("counted", { from: "honest" });
      return all({
        "100 counted as its own": own.number("count") === 100,
        "none as those of another node": other.number("count") === 0,
      });
    },
  },
  {
    row: 18,
    what:
      "a guest behind relays emits what it may, what it may not, and what it may under the name of another node",
    target:
      "over each of 4 routers the first arrives two hops away, all else is dropped and counted",
    run: async () => all(await forgeAsGuest()),
  },
  {
    row: 19,
    what: "replies and requests played again, 1,000 times each",
    target: "a reply counts once, late ones are counted and dropped",
    async run(scene) {
      using member = await scene.enter();
      await scene.victim.ask("members", { count: 2, limit: 20_000 });
      const asking = scene.victim.ask("ask", {
        to: "mallory",
        count: 1,
        timeout: 5_000,
      });
      const id = await requestId(member);
      const reply = framed(bundle([{ type: 2, id, data: [0xc0] }]));
      for (let i = 0; i < 1_000; i++) await member.write(reply);
      const failed = (await asking).number("failed");
      const late = await scene.growsTo("lateReplies", 999);
      return all({
        "answered once": failed === 0,
        [`${late} late ones counted`]: late === 999,
      });
    },
  },
  {
    row: 20,
    what:
      "news that an honest node is suspected, dead and gone, up to incarnation 2^53 - 1",
    target: "it stays a member and is served",
    async run(scene) {
      using member = await scene.enter();
      const known = incarnationAt(Date.now());
      for (let round = 0; round < 50; round++) {
        for (
          const incarnation of [known, known + 1, known + 2 ** 20, HIGHEST]
        ) {
          for (const kind of ["suspect", "dead", "left"] as const) {
            await member.write(
              framed(news([{ kind, id: "honest", incarnation }])),
            );
          }
        }
        await pause(20);
      }
      await pause(2_000);
      const has = await scene.victim.ask("has", { id: "honest" });
      return all({
        "600 lies": true,
        "the honest node is a member": has.number("member") === 1,
        "and has the other one": scene.honest.members.has("victim"),
      });
    },
  },
  ...memberLies,
  {
    row: 24,
    what:
      "a member that reads nothing, while the node sends 90 MB/s to everyone",
    target:
      "told slow, its events dropped, closed after 10 s at most; memory at most 8 + 32 MiB more",
    async run(scene) {
      await scene.victim.ask("settle");
      const memory = new Memory(scene.victim.pid);
      // What sending as much to those who read takes, first: garbage above all.
      await scene.victim.ask("flood", { ms: 6_000 });
      const before = memory.most;
      using _member = await scene.enter({ id: "sleeper" });
      const flooding = scene.victim.ask("flood", { ms: 13_000 });
      const emitted = (await flooding).number("emitted");
      const growth = memory.stop() - before;
      const slow = await scene.grown("slowLinks");
      const dropped = await scene.grown("dropped");
      const has = await scene.victim.ask("has", { id: "sleeper" });
      return all({
        [`${emitted} events of 60 kB, ${dropped} dropped`]: dropped > 0,
        [`told slow ${slow} times`]: slow >= 1,
        "it is given up": has.number("member") === 0,
        [`memory +${growth.toFixed(0)} MiB while it was stuck`]: growth <= 40,
      });
    },
  },
  {
    row: 25,
    what: "5,000 events each to handlers that throw, reject and never end",
    target:
      "counted, at most 1,024 run, the link is read no further and nobody else's",
    async run(scene) {
      using member = await scene.enter();
      for (const name of ["throws", "rejects", "hangs"]) {
        for (let at = 0; at < 5_000; at += 100) {
          const entries = Array.from({ length: 100 }, (): Entry => ({ name }));
          await member.write(framed(bundle(entries)));
        }
      }
      const errors = await scene.growsTo("handlerErrors", 10_000, 10_000);
      const running = await scene.growsTo("limits.running", 1);
      return all({
        [`${errors} failures counted`]: errors === 10_000,
        [`reading stopped ${running} time`]: running === 1,
        "it is not answered meanwhile": !await echoes(member, 300),
      });
    },
  },
  {
    row: 26,
    what:
      "a member that answers nothing of 10,000 requests, answers what nobody asked, and leaves",
    target:
      "1,024 wait and end in their time, or with the link; the others fail at once; forged replies are counted and dropped",
    async run(scene) {
      using member = await scene.enter();
      await scene.victim.ask("members", { count: 2, limit: 20_000 });
      const asking = scene.victim.ask("ask", {
        to: "mallory",
        count: 10_000,
        timeout: 1_500,
      });
      const forged = Array.from({ length: 100 }, (_, i): Entry => ({
        type: 2,
        id: 4_000_000_000 + i,
        data: [0xc0],
      }));
      await member.write(framed(bundle(forged)));
      const first = await requestId(member);
      const ends = await asking;
      const [late, limited] = [ends.number("timeout"), ends.number("limit")];
      const counted = await scene.grown("limits.requestsPerPeer");
      const forgeries = await scene.growsTo("lateReplies", 100);
      const start = performance.now();
      const more = scene.victim.ask("ask", {
        to: "mallory",
        count: 1_000,
        timeout: 60_000,
      });
      // Those before have come, too, and only now are read.
      while ((await requestId(member) - first) >>> 0 < 1_024);
      member[Symbol.dispose]();
      const lost = (await more).number("lost");
      const took = performance.now() - start;
      return all({
        [`${late} of 10000 ended by their deadline`]: late === 1_024,
        [`${limited} were too many, ${counted} counted`]: limited === 8_976 &&
          counted === limited,
        [`${forgeries} forged replies counted`]: forgeries === 100,
        [`${lost} of 1000 ended with the link, after ${took.toFixed(0)} ms`]:
          lost === 1_000 && took < 10_000,
      });
    },
  },
  {
    row: 27,
    what: "3,000 links that come and break at once (300 in the short form)",
    target:
      "served, memory at most +16 MiB once they are gone, beside what the first 1,500 took (900)",
    async run(scene, short) {
      const count = short ? 300 : 3_000;
      const warm = short ? 900 : 1_500;
      // What a node needs once links come and go, first.
      const first = await breakLinks(scene, "first", warm);
      if (first !== null) return first;
      await scene.victim.ask("settle");
      const memory = new Memory(scene.victim.pid);
      const stuck = await breakLinks(scene, "fly", count);
      if (stuck !== null) return stuck;
      const violations = await scene.growsTo(
        "violations",
        warm + count,
        5_000,
      );
      await scene.victim.ask("settle");
      const growth = memory.now();
      memory.stop();
      return all({
        [`${violations} violations counted`]:
          violations >= 0.98 * (warm + count),
        [`memory +${growth.toFixed(1)} MiB after them`]: growth <= 16,
      });
    },
  },
];

/** What somebody with a place in the cluster can do, on nodes of its own. */
export const memberTrials: readonly Trial[] = [
  {
    row: 17,
    what:
      "a member of a relaying cluster sends everything twice, in a ring, a mesh and two rings that share a node",
    target: "each of 6 nodes handles each of 200 broadcasts once",
    async run() {
      const checks: Record<string, boolean> = {};
      for (const [shape, pairs] of Object.entries(SHAPES)) {
        const { handled, twice } = await sendTwice(pairs);
        const wanted = 200 * 5;
        checks[`${shape}: ${handled} of ${wanted} handled, ${twice} twice`] =
          handled === wanted && twice === 0;
      }
      return all(checks);
    },
  },
  forgedRelay,
  replayedLink,
];

/** Opens links that break at once; what is wrong, if one was not closed. */
async function breakLinks(
  scene: Scene,
  name: string,
  count: number,
): Promise<Outcome | null> {
  for (let i = 0; i < count; i++) {
    using member = await scene.enter({ id: `${name}-${i}` });
    await member.write(framed(Uint8Array.of(7, 7, 7, 7)));
    if (i % 50 === 0 && !await closes(member)) {
      return { figure: `link ${i} was not closed`, held: false };
    }
  }
  return null;
}

/** Tells of 50,000 members; how long the node took to get through with them, in ms. */
async function tellOf(
  member: Stranger,
  idOf: (number: number) => string,
): Promise<number> {
  const incarnation = incarnationAt(Date.now());
  const messages: Uint8Array[] = [];
  for (let page = 0; page < 100; page++) {
    messages.push(news(Array.from({ length: 500 }, (_, i): Rumour => ({
      kind: "alive",
      id: idOf(500 * page + i),
      incarnation,
    }))));
    await pause(0); // the honest node lives in the same process
  }
  const start = performance.now();
  for (const message of messages) await member.write(framed(message));
  if (!await echoes(member, 30_000)) throw new Error("It does not answer");
  return performance.now() - start;
}

/** Who is linked with whom, of six nodes. */
const SHAPES: Readonly<Record<string, readonly (readonly [number, number])[]>> =
  {
    ring: [[0, 1], [1, 2], [2, 3], [3, 4], [4, 5], [5, 0]],
    mesh: Array.from(
      { length: 36 },
      (_, i) => [i % 6, Math.floor(i / 6)] as const,
    )
      .filter(([from, to]) => from < to),
    "two rings": [[0, 1], [1, 2], [2, 0], [0, 3], [3, 4], [4, 5], [5, 0]],
  };

/** The first of six nodes sends everything twice; how often events were handled, and again. */
async function sendTwice(
  pairs: readonly (readonly [number, number])[],
): Promise<{ handled: number; twice: number }> {
  await using cluster = new AsyncDisposableStack();
  const network = new MemoryNetwork();
  const heard = new Map<string, number>();
  const nodes: Node<Events>[] = [];
  for (let i = 0; i < 6; i++) {
    const node = cluster.use(createNode<Events>({
      cluster: "verify",
      id: `n${i}`,
      router: hopRouter(),
      transport: i === 0 ? doubled(network) : memory(network),
      logger: silent,
    }));
    node.on("count", (number) => {
      const key = `${i} ${number}`;
      heard.set(key, (heard.get(key) ?? 0) + 1);
    });
    await node.listen(`memory://n${i}`);
    nodes.push(node);
  }
  for (const [from, to] of pairs) await nodes[from]?.join(`memory://n${to}`);
  await until(() => nodes.every(({ members }) => members.size === 5), 30_000);
  for (let i = 0; i < 200; i++) {
    await nodes[i % 6]?.emit("count", i);
    if (i % 20 === 0) await pause(1);
  }
  await until(() => heard.size === 200 * 5, 30_000);
  await pause(200);
  const twice = [...heard.values()].filter((times) => times > 1).length;
  return { handled: heard.size, twice };
}

/** A transport over which whatever is sent is sent twice, once it is linked. */
function doubled(network: MemoryNetwork) {
  return wrapTransport(memory(network), {
    connection: (connection) =>
      wrapConnection(connection, {
        async send(message) {
          await connection.send(message);
          if (message[0] === 0x10) await connection.send(message);
        },
      }),
  });
}

/** The number of the next request that arrives. */
async function requestId(member: Stranger): Promise<number> {
  for (;;) {
    const message = await member.receive();
    if (message === null) throw new Error("The link has ended");
    // Header, bundle, then the entry of a request: its id stands behind its length.
    if (message[0] !== 0x10 || message[4] !== 1 || (message[6] ?? 0) !== 1) {
      continue;
    }
    return new DataView(message.buffer, message.byteOffset).getUint32(12);
  }
}
