import type { Measurement, MeasureOptions, Row } from "../runner.ts";
import type { MalformedReport } from "./malformed_inputs.ts";

const INPUTS = 1_000_000;
/** The longest that one input may take, in ms. */
const LONGEST = 50;
/** How much more memory all of them may take, in bytes. */
const GROWTH = 64 * 2 ** 20;
const MIB = 2 ** 20;

/** Input that makes no sense, given to whatever takes input from outside. */
export const malformed: Row = {
  what:
    "malformed input to codecs, scan, frames, handshakes, every router and membership, and a whole node",
  target: "1,000,000 or more: 0 uncaught, worst 50 ms, memory growth 64 MiB",
  measure,
};

async function measure({ progress }: MeasureOptions): Promise<Measurement> {
  progress("in a process of its own");
  const { stdout, stderr, success } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--v8-flags=--expose-gc",
      new URL("./malformed_inputs.ts", import.meta.url).href,
      String(INPUTS),
    ],
  }).output();
  const decoder = new TextDecoder();
  if (!success) {
    return {
      figure: `it ended: ${decoder.decode(stderr).slice(-400)}`,
      held: false,
    };
  }
  const { tried, uncaught, worst, slowest, growth } = reportOf(
    decoder.decode(stdout),
  );
  const figure =
    `${tried} inputs, ${uncaught.length} uncaught, worst ${
      worst.toFixed(1)
    } ms (${slowest}), memory ${(growth / MIB).toFixed(1)} MiB more` +
    (uncaught.length > 0 ? `; ${uncaught.join("; ")}` : "");
  const held = tried >= INPUTS && uncaught.length === 0 && worst <= LONGEST &&
    growth <= GROWTH;
  return { figure, held };
}

/** What the process, which is our own, wrote. */
function reportOf(text: string): MalformedReport {
  return JSON.parse(text);
}
