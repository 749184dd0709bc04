import type { Measurement, MeasureOptions, Row } from "../runner.ts";
import { Child } from "../../../bench/child.ts";
import { pause } from "../../../bench/serve.ts";

const PEERS = 3;

/** Promises that nobody awaits reject, and nothing comes of it. */
export const carelessProgram: Row = {
  what: "a program that awaits nothing survives the death of every peer",
  target: "exit code 0, nothing uncaught",
  measure,
};

async function measure({ short }: MeasureOptions): Promise<Measurement> {
  await using processes = new AsyncDisposableStack();
  const peers = Array.from(
    { length: PEERS },
    (_, i) =>
      processes.use(
        new Child(new URL("member.ts", import.meta.url), {
          args: [`peer-${i}`],
        }),
      ),
  );
  let address: string | undefined;
  for (const peer of peers) {
    const own = (await peer.ask("listen")).text("address");
    if (address !== undefined) await peer.ask("join", { address });
    address ??= own;
  }
  const program = processes.use(
    new Child(new URL("careless.ts", import.meta.url)),
  );
  const joined = await program.ask("join", {
    address: address ?? "",
    nodes: PEERS,
  });
  if (joined.number("members") !== PEERS) {
    throw new Error("Not all peers were found");
  }

  const length = short ? 300 : 2_000;
  for (const peer of peers) {
    await pause(length);
    await peer.kill();
  }
  await pause(length);
  const state = await program.ask("calls");
  const code = await program.end(10_000);
  const isQuiet = !/uncaught/i.test(program.stderr);
  const calls = `${state.number("calls")} calls, ${
    state.number("rejections")
  } of them rejected`;
  return {
    figure: `exit code ${code} after ${calls}${
      isQuiet ? "" : `; ${program.stderr}`
    }`,
    held: code === 0 && isQuiet && state.number("rejections") > 0 &&
      state.number("members") === 0,
  };
}
