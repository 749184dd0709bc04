import { Child } from "../../../bench/child.ts";
import { Others } from "../../../bench/processes.ts";
import { late } from "../late.ts";
import type { Measurement, MeasureOptions, Row } from "../runner.ts";

const PROCESSES = 8;
const EVENTS = 10_000;
const EVENTS_SHORT = 1_000;
const NOTICED_WITHIN = 1_000;

/** A process that emits and checks. */
interface Member {
  readonly id: string;
  readonly child: Child;
}

/** Everyone emits to everyone, one is killed and comes back, and again. */
export const everyone: Row = {
  what:
    `${PROCESSES} processes emit to each other, one is killed and comes back`,
  target:
    `all events in order, once; the death noticed within ${NOTICED_WITHIN} ms`,
  measure,
};

async function measure(
  { short, progress }: MeasureOptions,
): Promise<Measurement> {
  await using processes = new AsyncDisposableStack();
  const machine = new Others();
  const count = short ? EVENTS_SHORT : EVENTS;
  const spawn = (id: string): Member => ({
    id,
    child: processes.use(
      new Child(new URL("member.ts", import.meta.url), { args: [id] }),
    ),
  });
  const members = Array.from(
    { length: PROCESSES },
    (_, i) => spawn(`node-${i}`),
  );
  const entry = await start(members);
  const first = await emitAll(members, 1, count);
  progress(first ?? "all events of round 1 right");

  const victim = members[3];
  if (victim === undefined) throw new RangeError("There are too few processes");
  const others = members.filter((member) => member !== victim);
  const killedAt = Date.now();
  await victim.child.kill();
  const noticed = await Promise.all(
    others.map(async ({ child }) =>
      (await child.ask("left", { id: victim.id })).number("at")
    ),
  );
  const worst = Math.max(...noticed) - killedAt;
  progress(`all others noticed the death within ${worst} ms`);

  const again = spawn(victim.id);
  await again.child.ask("listen");
  await again.child.ask("join", { address: entry });
  const now = [...others, again];
  await awaitLinks(now);
  const second = await emitAll(now, 2, count);
  const right = `all ${
    PROCESSES - 1
  } times ${count} events right at ${PROCESSES} processes`;
  const figure = `${first ?? right}; after the restart ${
    second ?? right
  }; noticed within ${worst} ms`;
  const isRight = first === null && second === null;
  return isRight && worst > NOTICED_WITHIN
    ? late(figure, machine)
    : { figure, held: isRight };
}

/** The first listens, the others join its cluster port. */
async function start(members: readonly Member[]): Promise<string> {
  const [first, ...rest] = members;
  if (first === undefined) throw new RangeError("There are no processes");
  const address = (await first.child.ask("listen")).text("address");
  await Promise.all(rest.map(async ({ child }) => {
    await child.ask("listen");
    await child.ask("join", { address });
  }));
  await awaitLinks(members);
  return address;
}

async function awaitLinks(members: readonly Member[]): Promise<void> {
  const nodes = members.length - 1;
  await Promise.all(members.map(async ({ id, child }) => {
    const linked = await child.ask("linked", { nodes });
    if (
      linked.number("nodes") === nodes && linked.number("members") === nodes
    ) return;
    throw new Error(
      `${id} has ${linked.number("members")} members and ${
        linked.number("nodes")
      } links`,
    );
  }));
}

/** All emit at once; says what went wrong, if anything did. */
async function emitAll(
  members: readonly Member[],
  round: number,
  count: number,
): Promise<string | null> {
  const senders = members.length - 1;
  const faults = await Promise.all(members.map(async ({ id, child }) => {
    const dropped = (await child.ask("emit", { round, count })).number(
      "dropped",
    );
    const received = await child.ask("received", { round, count, senders });
    const wrong = received.number("wrong");
    const complete = received.number("complete");
    if (dropped === 0 && wrong === 0 && complete === senders) return [];
    return [
      `${id}: ${dropped} dropped, ${wrong} wrong, ${complete} of ${senders} senders complete`,
    ];
  }));
  return faults.flat().join("; ") || null;
}
