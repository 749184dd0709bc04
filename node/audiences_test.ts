import { assert, assertEquals } from "@std/assert";
import { seededRandom, VirtualClock } from "@devts/routing/testing";
import { Audiences } from "./audiences.ts";
import { Interest } from "./interest.ts";
import { type Subscription, writeAll } from "./interest_codec.ts";
import { OTHERS } from "./outbound.ts";
import { Topics } from "./topics.ts";

/** The audiences of node "a" among some others, of which it is known what they handle. */
function setUp(handled: Readonly<Record<string, readonly Subscription[]>>) {
  const nodes = new Set(Object.keys(handled));
  const clock = new VirtualClock();
  const random = seededRandom(1);
  const interest = new Interest({
    id: "a",
    clock,
    random,
    limit: 1_024,
    met: { subscriptions: 0 },
    incarnation: () => 1,
    nodes: () => nodes,
    send: () => {},
    changed: () => audiences.look(),
  });
  const audiences = new Audiences({
    id: "a",
    random,
    interest,
    nodes: () => nodes,
    queues: () => false,
    isUnfit: () => false,
  });
  const topics = new Topics();
  const version = { incarnation: 1, run: 1, sequence: 1 };
  for (const [id, subscriptions] of Object.entries(handled)) {
    for (const message of writeAll(version, subscriptions)) {
      interest.receive(id, message);
    }
  }
  return {
    nodes,
    interest,
    audiences,
    of: (name: string) => audiences.of(topics.of(name), undefined, undefined),
  };
}

function plain(name: string): Subscription {
  return { name, group: null };
}

function inGroup(name: string): Subscription {
  const group = { name: "g", strategy: "round-robin", key: "" } as const;
  return { name, group };
}

Deno.test("Audiences.of() gives one object for each set of nodes", () => {
  const { of, interest } = setUp({
    b: [plain("all"), plain("x"), plain("y")],
    c: [plain("all"), plain("x.>"), plain("y")],
    d: [plain("all"), plain("x")],
  });
  assertEquals(of("all").target, OTHERS);
  assert(of("all").target === OTHERS);
  assertEquals(of("x").target.to, ["b", "d"]);
  assertEquals(of("x.y").target.to, ["c"]);
  assertEquals(of("y").target.to, ["b", "c"]);
  assertEquals(of("nobody").target.to, []);
  assert(of("x").target === of("x").target);
  for (const name of ["all", "x", "nobody"]) {
    assertEquals(of(name).extras, null, name);
  }
  interest.close();
});

Deno.test("Audiences.of() follows the nodes there is a way to, once it looks", () => {
  const { of, nodes, audiences, interest } = setUp({
    b: [plain("x")],
    c: [],
  });
  assertEquals(of("x").target.to, ["b"]);
  nodes.add("d"); // of which nothing is known
  audiences.look();
  assertEquals(of("x").target.to, ["b", "d"]);
  nodes.delete("b");
  audiences.look();
  assertEquals(of("x").target.to, ["d"]);
  interest.close();
});

Deno.test("Audiences.member() chooses one of a group, but for those that are excepted", () => {
  const { audiences, nodes, interest } = setUp({
    b: [inGroup("job")],
    c: [inGroup("job.>"), inGroup("job")],
    d: [plain("job")],
  });
  interest.add(inGroup("job"));
  const except = new Set<string>();
  const chosen: (string | null)[] = [];
  for (let i = 0; i < 4; i++) {
    const member = audiences.member("job", "g", { except });
    chosen.push(member);
    if (member !== null) except.add(member);
  }
  assertEquals(chosen.slice(0, 3).sort(), ["a", "b", "c"]);
  assertEquals(chosen[3], null);
  assertEquals(audiences.member("job", "other"), null);
  assertEquals(audiences.member("job.new", "g"), "c");
  nodes.delete("c");
  assertEquals(audiences.member("job.new", "g"), null);
  assertEquals([...audiences.handling("job")].sort(), ["b", "d"]);
  interest.close();
});
