/** Programs that send while they are told of a loss, a slow link or a node that is gone. */
import { assert, assertEquals } from "@std/assert";
import { hopRouter } from "@devts/routing/hop";
import { peerRouter } from "@devts/routing/peer";
import { seededRandom } from "@devts/routing/testing";
import { wrapConnection } from "@devts/transport";
import { pass, passFor } from "./_support_test.ts";
import { virtualWorld } from "./_world_test.ts";
import type { NodeParts, SlowLinkPolicy } from "./types.ts";

const PEERS = ["bob", "cyd", "dan", "eve"] as const;
const TOLD = ["deadLetter", "leave", "slowLink", "error", "join"] as const;
const POLICIES: readonly SlowLinkPolicy[] = ["close", "drop-newest", "wait"];

interface Numbered {
  /** The only node that is to get it; "": all. */
  readonly to: string;
  /** Rises from one event to the next. */
  readonly n: number;
  readonly pad: string;
}

interface Events {
  to(data: Numbered): void;
  all(data: Numbered): void;
  job(data: Numbered): void;
  ask(data: Numbered): void;
}

/**
 * A node sends at random, and more whenever it is told something, while the links of its
 * peers stall and go on. Resolves to what should not be: events that came to others than
 * they were for, twice or out of order; and how often it sent while it was told something.
 */
async function disturbed(
  seed: number,
  parts: Pick<NodeParts, "router"> & { readonly slowLink: SlowLinkPolicy },
): Promise<{ readonly wrong: string[]; readonly nested: number }> {
  await using world = virtualWorld();
  const random = seededRandom(seed);
  const any = (): string =>
    PEERS[Math.floor(random() * PEERS.length)] ?? PEERS[0];
  const stalled = new Map<string, PromiseWithResolvers<void>>();
  const goOn = (id: string): void => {
    stalled.get(id)?.resolve();
    stalled.delete(id);
  };
  const wrong: string[] = [];
  const { node, told } = world.add<Events>("ada", {
    ...parts,
    limits: { highWaterMark: 20_000, outbox: 60_000 },
    link: (connection, { id }) =>
      wrapConnection(connection, {
        async send(message) {
          await stalled.get(id)?.promise;
          await connection.send(message);
        },
      }),
  });
  await passFor(world.clock, node.listen("memory://ada"));
  const peers = PEERS.map((id) =>
    world.add<Events>(id, { router: parts.router })
  );
  for (const { node: peer } of peers) {
    let last = -1;
    const see = ({ to, n }: Numbered): void => {
      if (to !== "" && to !== peer.id) wrong.push(`${peer.id} got ${to}'s`);
      if (n <= last) wrong.push(`${peer.id} got ${n} after ${last}`);
      last = n;
    };
    peer.on("to", see);
    peer.on("all", see);
    peer.on("job", () => {}, { group: "workers" });
    await passFor(world.clock, peer.listen(`memory://${peer.id}`));
    await passFor(world.clock, peer.join("memory://ada"));
  }
  await pass(world.clock, 2_000);
  let [count, nested, depth] = [0, 0, 0];
  const numbered = (to = ""): Numbered => {
    const pad = "x".repeat(random() * (random() < 0.1 ? 30_000 : 300));
    return { to, n: count++, pad };
  };
  const act = (): void => {
    const [what, id] = [random(), any()];
    if (what < 0.4) node.send(id, "to", numbered(id));
    else if (what < 0.7) node.emit("all", numbered());
    else if (what < 0.8) node.emit("job", numbered());
    else if (what < 0.85) node.request(id, "ask", numbered());
    else if (what < 0.9) node.deliver("job", numbered(), { timeout: 2_000 });
    else if (what < 0.95 && !stalled.has(id)) {
      stalled.set(id, Promise.withResolvers());
    } else goOn(id);
  };
  for (const name of TOLD) {
    node.onSystem(name, () => {
      if (depth > 2) return;
      depth++;
      for (let i = 0; i < 3; i++) act();
      nested += 3;
      depth--;
    });
  }
  for (let round = 0; round < 100; round++) {
    for (let i = random() * 30; i > 0; i--) act();
    await pass(world.clock, random() < 0.1 ? 1_200 : random() * 5);
  }
  for (const id of PEERS) goOn(id);
  await pass(world.clock, 15_000);
  for (const { name, event } of told) {
    if (name === "error") wrong.push(event.message);
  }
  for (const { node: peer } of peers) {
    if (peer.counters.violations > 0) wrong.push(`${peer.id} cannot read`);
  }
  return { wrong, nested };
}

for (const [name, make] of Object.entries({ peerRouter, hopRouter })) {
  for (const [at, slowLink] of POLICIES.entries()) {
    Deno.test(`Node over ${name}() that sends when it is told something misleads none: "${slowLink}"`, async () => {
      const router = make();
      const { wrong, nested } = await disturbed(1 + at, { router, slowLink });
      assertEquals(wrong, []);
      assert(nested > 50, `${nested}`);
    });
  }
}
