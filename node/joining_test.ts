import { assert, assertEquals } from "@std/assert";
import type { NodeId, Peer } from "@devts/routing";
import { seededRandom, VirtualClock } from "@devts/routing/testing";
import { Joining } from "./joining.ts";
import { Journal } from "./journal.ts";
import { Log, peer } from "./_support_test.ts";

Deno.test("Joining forgets nodes that could not be dialled once nobody tells of them", () => {
  const clock = new VirtualClock();
  const candidates = new Map<NodeId, Peer>();
  const joining = new Joining({
    cluster: "test",
    schemes: ["memory"],
    clock,
    random: seededRandom(1),
    links: {
      dial: () => Promise.resolve({ type: "failed", error: new Error("no") }),
      get: () => undefined,
    },
    journal: new Journal("ada", new Log(), clock),
    members: () => [peer("bob")],
    candidates: () => candidates,
    addresses: () => [],
    reachable: () => false,
  });
  joining.unreachable("bob");
  let most = 0;
  for (let i = 0; i < 10_000; i++) {
    // Told of, dialled in vain, and given up, one after the other.
    candidates.set(`none-${i}`, peer(`none-${i}`));
    candidates.delete(`none-${i - 100}`);
    joining.unreachable(`none-${i}`);
    most = Math.max(most, joining.size);
  }
  assert(most <= 1_025, `${most} nodes`);
  for (let i = 0; i < 2_000; i++) {
    candidates.set(`told-${i}`, peer(`told-${i}`));
    joining.unreachable(`told-${i}`);
  }
  assertEquals(joining.size >= 2_001, true, "it knows those that are told of");
  joining.close();
});
