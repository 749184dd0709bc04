import { median } from "../../../bench/figures.ts";
import { residentOf } from "../../../bench/processes.ts";
import { now, pause } from "../../../bench/serve.ts";
import { ROOT } from "../../members.ts";
import type { Row } from "../runner.ts";
import { shared } from "./shared.ts";

const PROGRAMS = "../../../bench/scenarios/";
const NODE = new URL(`${PROGRAMS}idle_node.ts`, import.meta.url);
const RAW = new URL(`${PROGRAMS}idle_raw.ts`, import.meta.url);
const SPAWNS = 10;
/** How long a node is left alone before its memory is read, in ms. */
const SETTLE = 500;
const MEMORY = 48;
const START = 90;
const MEGABYTES_PER_MEBIBYTE = 1.048576;

/** What a program took to be ready. */
interface Start {
  /** From the spawn on, in ms. */
  readonly time: number;
  /** Resident afterwards, in MB. */
  readonly memory: number;
}

/** What a node costs that does nothing. */
export const idleNode: readonly Row[] = [
  row("resident memory", MEMORY, "MB", ({ memory }) => memory),
  row("from spawn to ready", START, "ms", ({ time }) => time),
];

const starts = shared(async ({ progress }) => {
  const node: Start[] = [];
  const raw: Start[] = [];
  for (let i = 0; i <= SPAWNS; i++) {
    const pair = { node: await start(NODE), raw: await start(RAW) };
    if (i === 0) continue; // the first one fills caches
    node.push(pair.node);
    raw.push(pair.raw);
    progress(`${i} of ${SPAWNS}: ${text(pair.node)}; raw ${text(pair.raw)}`);
  }
  return { node, raw };
});

function row(
  what: string,
  target: number,
  unit: string,
  figureOf: (start: Start) => number,
): Row {
  return {
    what: `an idle node that listens on TCP, ${what}`,
    target: `at most ${target} ${unit}`,
    measure: async (options) => {
      const { node, raw } = await starts(options);
      const figure = median(node.map(figureOf));
      const theirs = median(raw.map(figureOf));
      return {
        figure: `${figure.toFixed(1)} ${unit}; \`Deno.listen\` alone ${
          theirs.toFixed(1)
        } ${unit}; medians of ${SPAWNS}`,
        held: figure <= target,
      };
    },
  };
}

async function start(program: URL): Promise<Start> {
  const startedAt = now();
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", program.pathname],
    cwd: ROOT,
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const readyAt = await readyTime(process.stdout);
  await pause(SETTLE);
  const memory = residentOf(process.pid) * MEGABYTES_PER_MEBIBYTE;
  await process.stdin.close();
  await process.status;
  return { time: readyAt - startedAt, memory };
}

/** When a program was ready, as it says itself; a node logs other lines. */
async function readyTime(
  stdout: ReadableStream<Uint8Array<ArrayBuffer>>,
): Promise<number> {
  let all = "";
  for await (const part of stdout.pipeThrough(new TextDecoderStream())) {
    all += part;
    const time = /^ready (.+)\n/m.exec(all)?.[1];
    if (time !== undefined) return Number(time);
  }
  throw new Error(`It ended before it was ready: ${all}`);
}

function text({ time, memory }: Start): string {
  return `${time.toFixed(1)} ms, ${memory.toFixed(1)} MB`;
}
