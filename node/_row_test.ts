/** Nodes in a row for tests, whose ends can only reach each other by a relay. It registers no tests. */
import { assert } from "@std/assert";
import type { NodeId, RouterFactory } from "@devts/routing";
import { gossipRouter } from "@devts/routing/gossip";
import { hopRouter } from "@devts/routing/hop";
import { mapRouter } from "@devts/routing/map";
import { pathRouter } from "@devts/routing/path";
import { wrapConnection, wrapTransport } from "@devts/transport";
import { pass, passFor } from "./_support_test.ts";
import type { Conversation, NodeParts } from "./types.ts";
import type { Tested, World } from "./_world_test.ts";

/** The events of the nodes. */
export interface Events {
  say(text: string): void;
  add(numbers: number[]): number;
  never(): void;
  talk: Conversation<string, string>;
}

/** Who may dial whom: each node only its neighbours in a row. */
export const ROW: readonly NodeId[] = ["ada", "bob", "cyd"];

/**
 * Three nodes in a row, whose ends cannot reach each other. While there is a gate,
 * what the first one sends waits for it.
 */
export async function row<E extends Events = Events>(
  world: World,
  router: RouterFactory,
  gate: () => Promise<void> | null = () => null,
  overrides: Partial<NodeParts> = {},
): Promise<readonly [Tested<E>, Tested<E>, Tested<E>]> {
  const [ada, bob, cyd] = ROW.map((id) => {
    const own = world.parts(id).transport;
    const others = id === "bob" ? [] : ROW.filter((other) => other !== "bob");
    const transport = wrapTransport(own, {
      connect: (address, options) =>
        others.some((other) => address === `memory://${other}`)
          ? Promise.reject(new Error("no route to host"))
          : own.connect(address, options),
      connection: (connection) =>
        wrapConnection(connection, {
          async send(message) {
            if (id === "ada") await gate();
            await connection.send(message);
          },
          receive: (options) => connection.receive(options),
          close: (reason) => connection.close(reason),
        }),
    });
    const limits = { highWaterMark: 1000 };
    return world.add<E>(id, { router, transport, limits, ...overrides });
  });
  assert(ada && bob && cyd);
  for (const { node } of [ada, bob, cyd]) {
    await passFor(world.clock, node.listen(`memory://${node.id}`));
  }
  await passFor(world.clock, ada.node.join("memory://bob"));
  await passFor(world.clock, cyd.node.join("memory://bob"));
  await pass(world.clock, 1000);
  return [ada, bob, cyd];
}

/** The routers that relay. */
export const ROUTERS: Readonly<Record<string, () => RouterFactory>> = {
  hopRouter,
  pathRouter,
  mapRouter,
  gossipRouter,
};
