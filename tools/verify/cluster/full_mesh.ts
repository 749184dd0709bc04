import type { Measurement, Row } from "../runner.ts";
import { ROOT } from "../../members.ts";
import { Values } from "../../../bench/values.ts";

const NODES = 50;
const ENDS_WITHIN = 1_000;

/** Many nodes in one process, over one transport. */
export function fullMesh(scheme: "memory" | "tcp"): Row {
  return {
    what: `${NODES} nodes in one process over ${scheme}`,
    target:
      `complete membership and links, every emit arrives, nothing left after close`,
    measure: () => measure(scheme),
  };
}

async function measure(scheme: string): Promise<Measurement> {
  const program = new URL("mesh.ts", import.meta.url);
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--no-check",
      "--v8-flags=--expose-gc",
      program.pathname,
      scheme,
      String(NODES),
    ],
    cwd: ROOT,
  }).output();
  const ended = Date.now();
  const decoder = new TextDecoder();
  if (code !== 0) {
    throw new Error(
      `The program ended with ${code}: ${decoder.decode(stderr)}`,
    );
  }
  const found = new Values("The result", JSON.parse(decoder.decode(stdout)));
  const after = ended - found.number("endedAt");
  const counts = ["complete", "missed", "kept", "leaked"].map((name) =>
    found.number(name)
  );
  const [complete, missed, kept, leaked] = counts;
  return {
    figure: [
      `complete in ${Math.round(found.number("joined"))} ms`,
      `${complete} of ${NODES} nodes with ${NODES - 1} members and links`,
      `${missed} events missed`,
      `closed in ${Math.round(found.number("closed"))} ms`,
      `then ${leaked} sockets open and ${kept} nodes reachable`,
      `the program ended after ${after} ms`,
    ].join(", "),
    held: complete === NODES && missed === 0 && kept === 0 && leaked === 0 &&
      after <= ENDS_WITHIN,
  };
}
