import { Child } from "../../../bench/child.ts";
import type { Row } from "../runner.ts";
import { Pair } from "./pair.ts";
import { start } from "./shared.ts";

const MIB = 1_048_576;
const HOUR = 3_600_000;
const VALUE = "x".repeat(100);
const CHURN = new URL("./churn_program.ts", import.meta.url);
const WITH_GC = ["-A", "--v8-flags=--expose-gc"];

/** What two large maps that differ in little exchange, by lists of changes and by hashes. */
const antiEntropy: Row = {
  what: "1,000,000 keys of which 100 differ",
  target: "at most 1 MiB exchanged, by lists of changes and by hashes",
  async measure({ short, progress }) {
    const count = short ? 100_000 : 1_000_000;
    await using pair = new Pair();
    const { one, other, clock } = pair;
    for (let i = 0; i < count; i++) one.set(`key ${i}`, VALUE);
    progress(`${count} keys`);
    await pair.join();
    await clock.passUntil(() => other.size === count, HOUR);
    progress("both have them");
    const changes = await differ(pair, 60_000, 0);
    progress(`by lists of changes: ${kib(changes)}`);
    const pagesBefore = other.counters.pageBytes;
    // Deletions of before are forgotten after a quarter of an hour.
    const hashes = await differ(pair, HOUR / 2, 100);
    const compared = one.counters.comparisons + other.counters.comparisons;
    const isWhole = one.hash() === other.hash() && compared > 0 &&
      other.counters.pageBytes > pagesBefore;
    return {
      figure: `${count} keys: ${kib(changes)} by lists of changes, ${
        kib(hashes)
      } by hashes${isWhole ? "" : "; the maps differ"}`,
      held: isWhole && changes <= MIB && hashes <= MIB,
    };
  },
};

/** Bytes until two maps that came to differ while they were cut off are the same. */
async function differ(
  pair: Pair,
  cutFor: number,
  first: number,
): Promise<number> {
  const { one, other, clock } = pair;
  pair.cut(true);
  await clock.pass(60_000);
  for (let i = first; i < first + 100; i++) {
    const key = `key ${i * 997}`;
    if (i % 2 === 0) one.set(key, `one ${i}`);
    else if (i % 3 === 0) one.delete(key);
    else other.set(key, `other ${i}`);
  }
  await clock.pass(cutFor);
  pair.cut(false);
  const before = pair.bytes;
  await clock.passUntil(() => one.hash() === other.hash(), HOUR);
  return pair.bytes - before;
}

/** What an entry takes in memory beyond its key and its value. */
const perEntry: Row = {
  what: "memory beyond key and value per live entry",
  target: "at most 250 bytes, at 1,000,000 entries",
  async measure() {
    await using program = start(WITH_GC);
    const answer = await program.ask("memory", { count: 1_000_000 });
    const bytes = answer.number("bytes");
    return { figure: `${bytes.toFixed(0)} bytes`, held: bytes <= 250 };
  },
};

/** Two days in which keys and nodes come and go. */
const churn: Row = {
  what:
    "48 simulated hours (12 in the short form, without nodes that were never there before) in which keys come, change and go, and so do nodes that write and count",
  target:
    "memory flat in the second half: its last quarter at most 5 % above its first; counts exact",
  async measure({ short, progress }) {
    await using program = new Child(CHURN, { flags: WITH_GC });
    const used: number[] = [];
    // Of nodes that never come back, what is over is remembered for a day.
    const [hours, strangers] = short ? [12, 0] : [48, 1];
    const [writes, visits] = short ? [3_000, 6] : [60_000, 30];
    const wrong: string[] = [];
    let counted = 0;
    for (let hour = 1; hour <= hours; hour++) {
      const answer = await program.ask("hour", { writes, visits, strangers });
      used.push(answer.number("bytes"));
      counted = answer.number("counted");
      if (answer.number("same") !== 1) wrong.push(`hour ${hour}: maps differ`);
      if (answer.number("exact") !== 1) wrong.push(`hour ${hour}: miscounted`);
      if (hour % 6 > 0) continue;
      const lives = answer.number("lives");
      progress(`hour ${hour}: ${kib(used.at(-1) ?? 0)}, ${lives} lives`);
    }
    const before = Math.max(...used.slice(hours / 2, hours * 5 / 8));
    const last = Math.max(...used.slice(hours * 7 / 8));
    return {
      figure: `${hours * writes} writes, ${
        hours * visits
      } nodes came and went, ${counted} counted; ${kib(before)}, then ${
        kib(last)
      }${wrong.length === 0 ? "" : `; ${wrong[0]}`}`,
      held: wrong.length === 0 && last <= before * 1.05,
    };
  },
};

/** What replicated state takes: on the wire and in memory. */
export const size: readonly Row[] = [antiEntropy, perEntry, churn];

function kib(bytes: number): string {
  return `${Math.round(bytes / 1024)} KiB`;
}
