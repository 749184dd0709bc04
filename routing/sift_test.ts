import { assert, assertEquals } from "@std/assert";
import { garbage } from "./_suite.ts";
import { heartbeat } from "./heartbeat.ts";
import { hopRouter } from "./hop.ts";
import { swim } from "./swim.ts";
import { seededRandom, VirtualNetwork } from "./testing.ts";
import type {
  Membership,
  MembershipFactory,
  NodeId,
  SiftingMembership,
} from "./types.ts";

function isSifting(membership: Membership): membership is SiftingMembership {
  return "sift" in membership;
}

/** What one node told another. */
interface Told {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly message: Uint8Array;
}

/** Five nodes in a row; `alter` changes what they tell. */
function networkOf(
  make: MembershipFactory,
  alter: (told: Told) => Uint8Array | null,
): VirtualNetwork {
  const network = new VirtualNetwork({ seed: 11 });
  const ids = ["a", "b", "c", "d", "e"];
  for (const id of ids) {
    network.add(id, {
      router: hopRouter({ links: 0 }),
      membership: (context) => {
        const { send } = context;
        const altered = Object.create(context, {
          send: {
            value: (to: NodeId, message: Uint8Array) => {
              const left = alter({ from: id, to, message });
              return left === null || send(to, left);
            },
          },
        });
        return make(altered);
      },
    });
  }
  for (const [i, id] of ids.slice(1).entries()) {
    network.connect(ids[i] ?? "", id);
  }
  return network;
}

const MEMBERSHIPS = { swim: () => swim(), heartbeat: () => heartbeat() };

for (const [name, make] of Object.entries(MEMBERSHIPS)) {
  Deno.test(`${name}().sift() leaves what a node tells of itself`, () => {
    const { membership: reader } = new VirtualNetwork()
      .add("reader", { router: hopRouter(), membership: make() });
    assert(reader !== null && isSifting(reader));
    let named = 0;
    let kept = 0;
    const network = networkOf(make(), ({ from, message }) => {
      if (from !== "e") return message;
      const before = message.slice();
      const left = reader.sift(from, message);
      assertEquals(message, before);
      if (left === null) return null;
      assertEquals(reader.sift(from, left), left);
      for (const id of ["made-up", "a", "b", "c", "d"]) {
        if (names(message, id)) named++;
        // Whom it asks others to look for, it has to name.
        assert(!names(left, id) || left[1] === 3, `${left}`);
      }
      if (names(left, "e")) kept++;
      return left;
    });
    network.clock.tick(60_000);
    assert(named > 0 && kept > 0, `${named} ${kept}`);
    for (const { id, members } of network.nodes) {
      assertEquals(members.size, 4, id);
    }
    network.node("e").crash();
    network.clock.tick(60_000);
    assertEquals(network.node("a").members.has("e"), false);
  });

  Deno.test(`${name}().sift() takes whatever bytes`, () => {
    const samples: Uint8Array[] = [];
    const network = networkOf(make(), ({ message }) => {
      samples.push(message);
      return message;
    });
    network.clock.tick(60_000);
    const { membership } = network.node("a");
    assert(membership !== null && isSifting(membership));
    const { events } = network;
    const random = seededRandom(9);
    for (let i = 0; i < 50_000; i++) {
      const message = garbage(random, samples);
      const left = membership.sift("e", message);
      if (left !== null) assertEquals(membership.sift("e", left), left);
    }
    assertEquals(network.events, events);
    assertEquals(network.node("a").members.size, 4);
  });
}

/** Whether a message names a node: its id behind its length. */
function names(message: Uint8Array, id: NodeId): boolean {
  const text = `\0${String.fromCharCode(id.length)}${id}`;
  return new TextDecoder("latin1").decode(message).includes(text);
}
