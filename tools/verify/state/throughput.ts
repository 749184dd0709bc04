import type { Row } from "../runner.ts";
import {
  type Compared,
  IN_SHORT,
  inFolder,
  inTurn,
  reaches,
  start,
} from "./shared.ts";

const KEYS = 20_000;

/** Writes at `memory` from one process to another, against `emit` of the same. */
const writes: Row = {
  what: "writes of a replicated map at `memory`, values of 100 bytes",
  target: `at least 0.7 of \`emit\` of the same size ${IN_SHORT}`,
  async measure({ short }) {
    await using sender = start();
    await using receiver = start();
    const { address } = await listening(receiver);
    await sender.ask("join", { address });
    const count = short ? 60_000 : 500_000;
    const compared = await inTurn(
      short ? 5 : 9,
      () => micros(sender, "emit", { count, keys: KEYS }),
      () => micros(sender, "set", { count, keys: KEYS }),
    );
    const { ratio, figure } = compare(compared, "emit");
    const there = await receiver.ask("size");
    const here = await sender.ask("size");
    const isSame = there.number("size") === KEYS &&
      there.text("hash") === here.text("hash");
    return {
      figure: isSame ? figure : `${figure}; the maps differ`,
      held: isSame && reaches(ratio, 0.7, short),
    };
  },
};

/** Reads, against a plain map behind the same call. */
const reads: Row = {
  what: "reads of a replicated map of 1,000,000 keys",
  target: `at least 0.8 of a plain \`Map\` behind the same call ${IN_SHORT}`,
  async measure({ short }) {
    await using reader = start();
    const count = short ? 1_000_000 : 5_000_000;
    await reader.ask("fill", { count: 1_000_000 });
    const compared = await inTurn(
      short ? 5 : 9,
      () => micros(reader, "reads", { of: "plain", count }),
      () => micros(reader, "reads", { of: "map", count }),
    );
    const { ratio, figure } = compare(compared, "a plain map");
    return { figure, held: reaches(ratio, 0.8, short) };
  },
};

/** Writes at `fsync`, against transactions of the same size. */
const synced: Row = {
  what: "writes of a replicated map at `fsync`, in transactions of 1,000",
  target:
    `at least 0.7 of \`node:sqlite\` with transactions of 1,000 ${IN_SHORT}`,
  measure: ({ short }) =>
    inFolder(async (folder) => {
      await using writer = start();
      const count = short ? 50_000 : 200_000;
      const size = 1_000;
      const compared = await inTurn(
        5,
        (round) =>
          micros(writer, "raw", {
            path: `${folder}/raw ${round}.db`,
            count,
            size,
          }),
        (round) =>
          micros(writer, "synced", {
            path: `${folder}/own ${round}.db`,
            round,
            count,
            // While one transaction is on its way to the disk, the next one gathers.
            clients: 2 * size,
          }),
      );
      const { ratio, figure } = compare(compared, "node:sqlite");
      return { figure, held: reaches(ratio, 0.7, short) };
    }),
};

/** How fast a replicated map is. */
export const throughput: readonly Row[] = [writes, reads, synced];

type Program = ReturnType<typeof start>;

async function listening(program: Program): Promise<{ address: string }> {
  const answer = await program.ask("listen");
  return { address: answer.text("address") };
}

async function micros(
  program: Program,
  verb: string,
  args: Readonly<Record<string, string | number>>,
): Promise<number> {
  return (await program.ask(verb, args)).number("micros");
}

function compare(
  { one, other, ratio }: Compared,
  name: string,
): { ratio: number; figure: string } {
  const figure = `${ratio.toFixed(2)}: ${rate(other)}; ${name} ${rate(one)}`;
  return { ratio, figure };
}

function rate(micros: number): string {
  return `${Math.round(1000 / micros)} k/s`;
}
