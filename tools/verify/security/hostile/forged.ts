import { createNode, type Node } from "@devts/devts";
import { createIdentity, keyText } from "@devts/protocol/identity";
import { createSecret } from "@devts/protocol/secret";
import type { RouterFactory } from "@devts/routing";
import { gossipRouter } from "@devts/routing/gossip";
import { hopRouter } from "@devts/routing/hop";
import { mapRouter } from "@devts/routing/map";
import { pathRouter } from "@devts/routing/path";
import { withLinks } from "@devts/routing/testing";
import { memory, MemoryNetwork } from "@devts/transport/memory";
import { pause, silent, until } from "../../../../bench/serve.ts";
import type { Events } from "./events.ts";

const ROUTERS: Readonly<Record<string, () => RouterFactory>> = {
  hopRouter,
  pathRouter,
  mapRouter,
  gossipRouter,
};
const RIGHTS = { emit: ["count"], handle: [] };
/** Events of each kind that the guest sends. */
const EVENTS = 100;
/** As long as the id of a guest, so that it can stand in its place. */
const FAR = "far".padEnd(32, "-");
/** Numbers of events that are sent under another name begin here. */
const FORGED = 1_000_000;

/**
 * A guest of a relaying cluster, linked to one of two members, emits what it may, what
 * it may not, and what it may under the name of the other member. By router: what was
 * not as it must be.
 */
export async function forgeAsGuest(): Promise<Record<string, boolean>> {
  const checks: Record<string, boolean> = {};
  for (const [name, make] of Object.entries(ROUTERS)) {
    const { own, others, counted } = await forge(make);
    checks[
      `${name}(): ${own} of ${EVENTS} of its own arrived two hops away, ${others} others, ${counted} dropped and counted`
    ] = own === EVENTS && others === 0 && counted >= 2 * EVENTS;
  }
  return checks;
}

async function forge(
  make: () => RouterFactory,
): Promise<{ own: number; others: number; counted: number }> {
  await using cluster = new AsyncDisposableStack();
  const network = new MemoryNetwork();
  const secret = createSecret();
  const { identity } = await createIdentity();
  const trust = { keys: [{ key: keyText(identity.key), rights: RIGHTS }] };
  const common = { cluster: "verify", logger: silent };
  const member = (id: string): Node<Events> =>
    cluster.use(createNode<Events>({
      ...{ ...common, id, secret, trust, router: make() },
      transport: memory(network),
    }));
  const home = member("home");
  const far = member(FAR);
  let forging = false;
  const guest = cluster.use(createNode<Events>({
    ...{ ...common, identity, transport: memory(network) },
    router: forger(make(), identity.id, () => forging),
  }));
  const heard: string[] = [];
  for (const node of [home, far]) {
    node.on("count", (number, { from }) => {
      heard.push(`${node === far ? "far" : "home"} ${from} ${number}`);
    });
    node.on("throws", () => void heard.push("throws"));
  }
  await home.listen("memory://home");
  await far.join("memory://home");
  await guest.join("memory://home");
  await until(() => guest.members.size === 2 && far.members.size === 2, 30_000);
  await guest.ready({ handles: "count" });

  for (let i = 0; i < EVENTS; i++) {
    await guest.emit("count", i);
    await guest.emit("throws");
    await pause(0);
  }
  const own = (): number =>
    heard.filter((line) => line.startsWith(`far ${guest.id}`)).length;
  await until(() => own() === EVENTS, 30_000);
  // Each in a packet of its own; the numbers of these are missing among its own.
  forging = true;
  for (let i = 0; i < EVENTS; i++) {
    await guest.emit("count", FORGED + i);
    await pause(0);
  }
  await until(() => home.counters.forbidden >= 2 * EVENTS, 30_000);
  await pause(100);
  return {
    own: own(),
    others: heard.length - 2 * own(),
    counted: home.counters.forbidden,
  };
}

/** A router that puts another id in the place of its own, and says nothing of its packets. */
function forger(
  make: RouterFactory,
  id: string,
  isForging: () => boolean,
): RouterFactory {
  const own = new TextEncoder().encode(id);
  const other = new TextEncoder().encode(FAR);
  return (context) => {
    const { links } = context;
    const send: typeof links.send = (to, packet, lane) =>
      links.send(
        to,
        isForging() && lane === "data" ? replaced(packet, own, other) : packet,
        lane,
      );
    const router = make(withLinks(context, { send }));
    return Object.assign(router, { inspect: undefined });
  };
}

function replaced(
  packet: Uint8Array,
  own: Uint8Array,
  other: Uint8Array,
): Uint8Array {
  const bytes = packet.slice();
  for (let at = 0; at + own.length <= bytes.length; at++) {
    if (own.every((byte, i) => bytes[at + i] === byte)) bytes.set(other, at);
  }
  return bytes;
}
