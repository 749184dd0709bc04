import type { Row } from "../runner.ts";
import { IN_SHORT, inTurn, reaches, start } from "./shared.ts";

const WITH_GC = ["-A", "--v8-flags=--expose-gc"];
const MIB = 1_048_576;

/** How a newcomer takes over everything, against a stream of the same. */
export const transfer: Row = {
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

async function ended(
  source: ReturnType<typeof start>,
): Promise<{ written: number; bytes: number }> {
  const answer = await source.ask("ended");
  return { written: answer.number("written"), bytes: answer.number("bytes") };
}
