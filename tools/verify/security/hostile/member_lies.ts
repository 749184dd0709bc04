import { incarnationAt } from "@devts/routing";
import { pause } from "../../../../bench/serve.ts";
import { framed, type Stranger } from "../../cluster/stranger.ts";
import { all, type Attack } from "./attack.ts";
import { news } from "./news.ts";
import { type Scene, startVictim } from "./scene.ts";

/** Addresses of one node that are dialled. */
const ADDRESSES = 4;
/** How often a member that was lost is dialled at first, at random times in about a second. */
const FIRST_DIALS = 6;
/** Dials in vain for one member: so many at once, and per second. */
const BURST = 16;
const RATE = 5;
/** How soon a killed process is noticed, in ms, on a busy machine. */
const NOTICED = 3_000;
/** How soon a silent one is, of which only one node can know. */
const SILENT = 60_000;
/** A day, as incarnations count it. */
const DAY = 86_400_000 * 4096;

/** What a member can say of others and of itself: who is there, where, and under which id. */
export const memberLies: readonly Attack[] = [
  {
    row: 21,
    what:
      "news that an honest node can be dialled elsewhere, and a member that says so of itself, at 8 addresses",
    target:
      `nobody dials for the honest node, at most ${ADDRESSES} addresses are dialled for the member, about once a second`,
    async run(scene, short) {
      using traps = new Traps(16);
      const [foreign, own] = [
        traps.addresses.slice(0, 8),
        traps.addresses.slice(8),
      ];
      const honest = scene.honest.addresses;
      const seconds = short ? 4 : 20;
      const start = performance.now();
      using liar = await scene.enter({ id: "liar" });
      const mover = await scene.enter({ id: "mover", addresses: own });
      for (let i = 0; i < 5 * seconds; i++) {
        const incarnation = scene.honest.incarnation + 1;
        await liar.write(framed(news([
          { kind: "alive", id: "honest", incarnation, addresses: foreign },
        ])));
        if (i === seconds) mover[Symbol.dispose]();
        await pause(200);
      }
      const told = await scene.victim.ask("told", { of: "honest" });
      const [dialled, dials] = [traps.dialled(own), traps.dials(own)];
      const took = (performance.now() - start) / 1_000;
      return all({
        "no dial for the honest node": traps.dials(foreign) === 0,
        "its addresses are its own": told.text("addresses") === honest.join(),
        [
          `${dialled} addresses of the member dialled, ${dials} times by two nodes in ${
            took.toFixed(1)
          } s`
        ]: dialled <= ADDRESSES &&
          dials <= 2 * ADDRESSES * (took + FIRST_DIALS),
      });
    },
  },
  {
    row: 22,
    what:
      "10,000 made-up members at an address that has no node, and a process that is killed meanwhile",
    target:
      `none is shown or told on; who makes them up is found silent later, within ${
        SILENT / 1_000
      } s (long form); at most ${BURST} dials and ${RATE} per second, the dead one is noticed within ${NOTICED} ms`,
    async run(scene, short) {
      using traps = new Traps(1);
      const seconds = short ? 5 : 30;
      await using doomed = startVictim(["doomed"]);
      await doomed.ask("listen", { address: "tcp://127.0.0.1:0" });
      await doomed.ask("join", { address: scene.address });
      await scene.victim.ask("members", { count: 2, limit: 20_000 });
      using liar = await scene.enter();
      const start = performance.now();
      const rounds = 10 * seconds;
      let noticing: Promise<number> | undefined;
      for (let round = 0; round < rounds; round++) {
        await makeUp(liar, round, 10_000 / rounds, traps.addresses);
        await pause(100);
        if (round === rounds / 2) {
          await doomed.kill();
          noticing = untilGone(scene, "doomed", 2 * NOTICED);
        }
      }
      const noticed = await noticing ?? Infinity;
      const members = (await scene.victim.ask("report")).number("members");
      const refused = await scene.grown("limits.members");
      const dials = traps.dials(traps.addresses);
      const took = (performance.now() - start) / 1_000;
      const shown = [...scene.honest.members.keys()];
      return all({
        [`${members} members, ${refused} turned away`]: members <= 2 &&
          refused > 1_000,
        "the honest node was told of none": shown.every((id) =>
          !id.startsWith("made-up")
        ),
        ...short ? {} : await foundSilent(scene, "mallory"),
        [`${dials} dials in ${took.toFixed(1)} s`]:
          dials <= BURST + RATE * took,
        [`the dead one was noticed after ${noticed.toFixed(0)} ms`]:
          noticed <= NOTICED,
      });
    },
  },
  {
    row: 23,
    what:
      "another program takes the id of an honest node, under the same incarnation, earlier and later ones",
    target:
      "refused, both ends are told of the conflict, the honest link stays",
    async run(scene) {
      const refusals: string[] = [];
      const { incarnation } = scene.honest;
      const claims = [
        incarnation,
        incarnation - 4096,
        1,
        incarnation + 4096,
        incarnation + DAY,
      ];
      for (const own of claims) {
        try {
          (await scene.enter({ id: "honest", incarnation: own }))
            [Symbol.dispose]();
        } catch (error) {
          refusals.push(error instanceof Error ? error.message : "");
        }
      }
      const conflicts = await scene.victim.ask("conflicts", { id: "honest" });
      const has = await scene.victim.ask("has", { id: "honest" });
      return all({
        [`${refusals.length} of ${claims.length} refused`]:
          refusals.length === claims.length,
        [`${conflicts.number("count")} conflicts told`]:
          conflicts.number("count") >= claims.length - 1,
        "the honest node is a member": has.number("member") === 1,
      });
    },
  },
];

/** Whether one that says nothing any more is found out. */
async function foundSilent(
  scene: Scene,
  id: string,
): Promise<Record<string, boolean>> {
  const took = await untilGone(scene, id, SILENT);
  return {
    [`who made them up was found silent after ${(took / 1_000).toFixed(0)} s`]:
      took < Infinity,
  };
}

/** After how many ms the victim has given up a member; Infinity: not in time. */
async function untilGone(
  { victim }: Scene,
  id: string,
  limit: number,
): Promise<number> {
  const start = performance.now();
  const gone = await victim.ask("gone", { id, limit });
  return gone.number("member") === 0 ? performance.now() - start : Infinity;
}

/** Tells of some nodes that there are not. */
async function makeUp(
  by: Stranger,
  round: number,
  count: number,
  addresses: readonly string[],
): Promise<void> {
  const incarnation = incarnationAt(Date.now());
  await by.write(framed(news(
    Array.from({ length: count }, (_, i) => ({
      kind: "alive",
      id: `made-up-${round}-${i}`,
      incarnation,
      addresses,
    })),
  )));
}

/** Ports on which somebody counts who knocks, and says nothing. */
class Traps implements Disposable {
  /** Where they are. */
  readonly addresses: readonly string[];
  readonly #listeners: readonly Deno.TcpListener[];
  readonly #counts = new Map<string, number>();

  constructor(count: number) {
    this.#listeners = Array.from(
      { length: count },
      () => Deno.listen({ hostname: "127.0.0.1", port: 0 }),
    );
    this.addresses = this.#listeners.map((listener) => {
      const address = `tcp://127.0.0.1:${listener.addr.port}`;
      void this.#count(listener, address);
      return address;
    });
  }

  /** How often some of them were dialled. */
  dials(addresses: readonly string[]): number {
    return addresses.reduce(
      (sum, address) => sum + (this.#counts.get(address) ?? 0),
      0,
    );
  }

  /** How many of some of them were dialled. */
  dialled(addresses: readonly string[]): number {
    return addresses.filter((address) => this.#counts.has(address)).length;
  }

  [Symbol.dispose](): void {
    for (const listener of this.#listeners) listener.close();
  }

  async #count(listener: Deno.TcpListener, address: string): Promise<void> {
    for await (const connection of listener) {
      this.#counts.set(address, (this.#counts.get(address) ?? 0) + 1);
      connection.close();
    }
  }
}
