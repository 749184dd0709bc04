import { assert, assertEquals } from "@std/assert";
import { seededRandom } from "@devts/routing/testing";
import { wrapConnection } from "@devts/transport";
import { pass } from "./_support_test.ts";
import { delayed, tally, type Tested, virtualWorld } from "./_world_test.ts";

interface Events {
  hello(number: number): void;
}

/** What one node of a pair saw. */
interface Side extends Tested<Events> {
  /** Links that were made, and of those the ones that are over. */
  readonly links: { made: number; over: number };
  /** What the other one said. */
  readonly heard: number[];
}

/** Three events sent as soon as the other node is there, three later. */
const FIRST = [0, 1, 2];

function greet({ node, heard }: Side): void {
  node.on("hello", (number) => {
    heard.push(number);
  });
  node.onSystem("join", ({ id }) => {
    for (const number of FIRST) node.send(id, "hello", number);
  });
}

/** Two nodes that dial each other, with every message delayed at random. */
async function collide(seed: number, ids: readonly [string, string]) {
  await using world = virtualWorld();
  const random = seededRandom(seed);
  const spread = [1, 5, 50, 400][seed % 4] ?? 1;
  const delay = () => Math.floor(random() * spread);
  const [one, two] = ids.map((id): Side => {
    const links = { made: 0, over: 0 };
    const tested = world.add<Events>(id, {
      transport: delayed(world.network, world.clock, delay),
      random,
      link: (connection) => {
        links.made++;
        let over = false;
        return wrapConnection(connection, {
          close: (reason) => {
            if (!over) links.over++;
            over = true;
            return connection.close(reason);
          },
        });
      },
    });
    const side = { ...tested, links, heard: [] };
    greet(side);
    return side;
  });
  assert(one && two);
  const listening = Promise.all([
    one.node.listen("memory://one"),
    two.node.listen("memory://two"),
  ]);
  await pass(world.clock, 0);
  await listening;
  const joins = [
    one.node.join("memory://two"),
    pass(world.clock, delay()).then(() => two.node.join("memory://one")),
  ];
  await pass(world.clock, 8_000);
  const entries = await Promise.all(joins);
  const sides = [one, two].map(({ links }) => ({ ...links }));
  const contested = [one, two].some(({ log }) =>
    log.lines.some(({ text }) => text.includes("there is a link"))
  );
  return { one, two, entries, sides, contested };
}

const PAIRS: readonly (readonly [string, string])[] = [
  ["ada", "bob"],
  ["bob", "ada"],
];

for (const ids of PAIRS) {
  Deno.test(`Node of ${ids.join(" and ")} that dial each other end with one link, and nothing is lost`, async () => {
    let contested = 0;
    for (let seed = 0; seed < 400; seed++) {
      const { one, two, entries, ...end } = await collide(seed, ids);
      const where = `seed ${seed}`;
      if (end.contested) contested++;
      // One link on either side, made once: with what was heard, the same one.
      assertEquals(end.sides, [
        { made: 1, over: 0 },
        { made: 1, over: 0 },
      ], where);
      assertEquals(entries, [1, 1], where);
      assertEquals([...one.heard], FIRST, `${where}: lost on the way to one`);
      assertEquals([...two.heard], FIRST, `${where}: lost on the way to two`);
      for (const { told, links, node } of [one, two]) {
        assertEquals(links, { made: 1, over: 1 }, `${where}: left open`);
        assertEquals(tally(told)["join"], 1, where);
        assertEquals(node.counters.violations, 0, where);
        assertEquals(node.counters.undelivered, 0, where);
      }
    }
    assert(contested > 100, `only ${contested} dials met another`);
  });
}

Deno.test("Node ends with one link per pair where three dial each other", async () => {
  for (let seed = 0; seed < 150; seed++) {
    await using world = virtualWorld();
    const random = seededRandom(seed);
    const spread = [1, 20, 300][seed % 3] ?? 1;
    const delay = () => Math.floor(random() * spread);
    const open = new Map<string, number>();
    const sides = ["ada", "bob", "cyd"].map((id) =>
      world.add<Events>(id, {
        transport: delayed(world.network, world.clock, delay),
        random,
        link: (connection, peer) => {
          const key = `${id}-${peer.id}`;
          open.set(key, (open.get(key) ?? 0) + 1);
          let over = false;
          return wrapConnection(connection, {
            close: (reason) => {
              if (!over) open.set(key, (open.get(key) ?? 0) - 1);
              over = true;
              return connection.close(reason);
            },
          });
        },
      })
    );
    for (const { node } of sides) {
      await node.listen(`memory://${node.id}`);
    }
    const joins = sides.map(({ node }) =>
      node.join(
        ...["ada", "bob", "cyd"].map((id) => `memory://${id}`),
      )
    );
    await pass(world.clock, 12_000);
    assertEquals(await Promise.all(joins), [2, 2, 2], `seed ${seed}`);
    for (const [key, count] of open) {
      assertEquals(count, 1, `seed ${seed}: ${key}`);
    }
    assertEquals(open.size, 6);
    for (const { node, told } of sides) {
      assertEquals(node.members.size, 2);
      assertEquals(tally(told), { ready: 1, join: 2 }, `seed ${seed}`);
    }
  }
});
