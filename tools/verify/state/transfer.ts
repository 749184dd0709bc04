import { pause } from "../../../bench/serve.ts";
import type { Row } from "../runner.ts";
import { IN_SHORT, inFolder, inTurn, reaches, start } from "./shared.ts";

const WITH_GC = ["-A", "--v8-flags=--expose-gc"];
const MIB = 1_048_576;
/** A transfer that takes longer has come to a halt, in ms. */
const LIMIT = 120_000;
/** Bytes per second that a source sends for each key, once slow: a key takes about 120. */
const RATE_PER_KEY = 10;

type Program = ReturnType<typeof start>;

/** How a newcomer takes over everything, against a stream of the same. */
const whole: Row = {
  what: "a newcomer takes over 1,000,000 keys with values of 100 bytes",
  target:
    `at least 0.5 of raw TCP decoded into a \`Map\` ${IN_SHORT}; the sender's heap +64 MiB at most; no live write lost`,
  async measure({ short, progress }) {
    // With fewer, the time until the nodes have met counts for too much.
    const count = short ? 300_000 : 1_000_000;
    await using source = start(WITH_GC);
    await source.ask("fill", { count });
    const address = (await source.ask("listen")).text("address");
    let most = 0;
    let lost = "";
    const { one: raw, other: own, ratio } = await inTurn(3, async () => {
      await using newcomer = start();
      const port = (await source.ask("serveRaw")).number("port");
      const answer = await newcomer.ask("loadRaw", { port });
      progress(`raw: ${answer.number("millis").toFixed(0)} ms`);
      return answer.number("millis");
    }, async () => {
      await using newcomer = start();
      await source.ask("live");
      const answer = await newcomer.ask("load", { address, count });
      const { written, bytes } = await ended(source);
      await newcomer.ask("sync");
      const size = (await newcomer.ask("size")).number("size");
      most = Math.max(most, bytes);
      if (size !== count + written) lost = `${count + written - size} missing`;
      progress(`own: ${answer.number("millis").toFixed(0)} ms`);
      return answer.number("millis");
    });
    return {
      figure: `${ratio.toFixed(2)}: ${own.toFixed(0)} ms, raw ${
        raw.toFixed(0)
      } ms; heap +${Math.round(most / MIB)} MiB; ${lost || "no write lost"}`,
      held: reaches(ratio, 0.5, short) && most <= 64 * MIB && lost === "",
    };
  },
};

/** A transfer whose sources are killed. */
const cut: Row = {
  what:
    "a newcomer takes over everything from three nodes, of which two are killed in the middle",
  target: "at most 1.1 of the bytes of an uncut transfer; nothing missing",
  async measure({ short, progress }) {
    const count = short ? 100_000 : 1_000_000;
    await using first = start(["-A"], ["faults"]);
    await using second = start(["-A"], ["faults"]);
    await using third = start(["-A"], ["faults"]);
    await first.ask("fill", { count });
    const address = (await first.ask("listen")).text("address");
    for (const other of [second, third]) {
      await other.ask("listen");
      await other.ask("join", { address });
    }
    const { bytes: once } = await taken(second, count);
    await taken(third, count);
    progress(`three nodes hold ${count} keys`);
    // Two of them take 6 s for it, however fast the machine is, so that the kills fall
    // in the middle of it.
    const rate = RATE_PER_KEY * count;
    for (const source of [first, second, third]) {
      await source.ask("slow", { rate });
    }
    await using newcomer = start();
    await newcomer.ask("join", { address });
    const { size: one } = await taken(newcomer, count / 4);
    await second.kill();
    const { size: other } = await taken(newcomer, count / 2);
    await first.kill();
    await third.ask("fast");
    const { bytes } = await taken(newcomer, count);
    await newcomer.ask("sync");
    const isSame = await holdTheSame(third, newcomer);
    const ratio = bytes / once;
    return {
      figure: `${
        ratio.toFixed(3)
      } of the bytes; killed at ${one} and ${other} of ${count} keys${
        isSame ? "" : "; the maps differ"
      }`,
      held: isSame && ratio <= 1.1 && other < count,
    };
  },
};

/** A transfer whose newcomer is killed. */
const resumed: Row = {
  what:
    "a newcomer that is killed while it takes over everything goes on with what its storage has",
  target:
    "it is sent at most what it had not, and 0.1 of an uncut transfer; nothing missing",
  measure: ({ short, progress }) =>
    inFolder(async (folder) => {
      const count = short ? 100_000 : 1_000_000;
      const kept = { path: `${folder}/state.db` };
      await using first = start(["-A"], ["faults"]);
      await using second = start(["-A"], ["faults"]);
      await first.ask("fill", { count });
      const address = (await first.ask("listen")).text("address");
      await second.ask("listen");
      await second.ask("join", { address });
      const { bytes: once } = await taken(second, count);
      progress(`two nodes hold ${count} keys`);
      // Half of it takes 3 s, so that the newcomer is killed in the middle of it.
      const rate = RATE_PER_KEY * count;
      for (const source of [first, second]) await source.ask("slow", { rate });
      await using newcomer = start();
      await newcomer.ask("keep", kept);
      await newcomer.ask("join", { address });
      await taken(newcomer, count / 2);
      await newcomer.kill();
      for (const source of [first, second]) await source.ask("fast");
      await using again = start();
      const had = (await again.ask("keep", kept)).number("size");
      await again.ask("join", { address });
      const { bytes } = await taken(again, count);
      await again.ask("sync");
      const isSame = await holdTheSame(first, again);
      const [share, ratio] = [1 - had / count, bytes / once];
      return {
        figure: `${ratio.toFixed(3)} of the bytes; it had ${had} of ${count}${
          isSame ? "" : "; the maps differ"
        }`,
        held: isSame && ratio <= share + 0.1 && had > 0,
      };
    }),
};

/** Transfers to newcomers. */
export const transfers: readonly Row[] = [whole, cut, resumed];

/** Whether the maps of two programs are equal. */
async function holdTheSame(one: Program, other: Program): Promise<boolean> {
  const [a, b] = await Promise.all([one.ask("size"), other.ask("size")]);
  return a.text("hash") === b.text("hash");
}

/** Waits until a newcomer has so many keys. */
async function taken(
  newcomer: Program,
  count: number,
): Promise<{ size: number; bytes: number }> {
  const end = performance.now() + LIMIT;
  for (;;) {
    const answer = await newcomer.ask("taken");
    const size = answer.number("size");
    if (size >= count) return { size, bytes: answer.number("bytes") };
    if (performance.now() > end) {
      throw new Error(`It has ${size} of ${count} keys after ${LIMIT} ms`);
    }
    await pause(5);
  }
}

async function ended(
  source: Program,
): Promise<{ written: number; bytes: number }> {
  const answer = await source.ask("ended");
  return { written: answer.number("written"), bytes: answer.number("bytes") };
}
