import { Child } from "../../../bench/child.ts";
import type { Values } from "../../../bench/values.ts";
import type { Measurement, MeasureOptions, Row } from "../runner.ts";

const PROGRAMS = "../../../bench/scenarios/";
const LINKS = 1_000;
/** With so many, everything has been used once that all links share. */
const FEW = 100;
/** Processes that hold the other ends. */
const DIALERS = 4;
const TARGET = 24;
const KIB = 1024;

/** What a link costs over which nothing goes but heartbeats. */
export const idleLink: Row = {
  what: `an idle link, at ${LINKS.toLocaleString("en")} links on one node`,
  target:
    `at most ${TARGET} KiB of resident memory on that node more than without links`,
  measure,
};

async function measure({ progress }: MeasureOptions): Promise<Measurement> {
  await using processes = new AsyncDisposableStack();
  const spawn = (program: string, args: readonly string[]) =>
    processes.use(
      new Child(new URL(program, import.meta.url), {
        flags: ["-A", "--v8-flags=--expose-gc"],
        args,
      }),
    );
  const hub = spawn(`${PROGRAMS}hub.ts`, [String(LINKS)]);
  const dialers = Array.from(
    { length: DIALERS },
    (_, index) => spawn(`${PROGRAMS}dialers.ts`, [`dialer-${index}`]),
  );
  const address = (await hub.ask("listen")).text("address");
  const grow = async (from: number, to: number) => {
    const count = (to - from) / DIALERS;
    await Promise.all(
      dialers.map((dialer) => dialer.ask("join", { address, count })),
    );
    const memory = await hub.ask("memory", { links: to });
    progress(`${to} links: ${text(memory)}`);
    return memory;
  };
  const none = await grow(0, 0);
  const few = await grow(0, FEW);
  const all = await grow(FEW, LINKS);
  const perLink = (what: string) =>
    (all.number(what) - none.number(what)) / LINKS / KIB;
  const later = (all.number("rss") - few.number("rss")) / (LINKS - FEW) / KIB;
  return {
    figure: `${perLink("rss").toFixed(1)} KiB resident (${
      later.toFixed(1)
    } KiB from the ${FEW}th on), of it ${
      perLink("heapUsed").toFixed(1)
    } KiB heap and ${perLink("external").toFixed(1)} KiB buffers`,
    held: perLink("rss") <= TARGET,
  };
}

function text(memory: Values): string {
  return ["rss", "heapUsed", "external"].map((what) =>
    `${what} ${Math.round(memory.number(what) / KIB)} KiB`
  ).join(", ");
}
