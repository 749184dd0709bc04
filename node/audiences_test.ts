import { assert, assertEquals, assertThrows } from "@std/assert";
import { seededRandom, VirtualClock } from "@devts/routing/testing";
import { Audiences } from "./audiences.ts";
import { readChosen } from "./chosen.ts";
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

function inGroup(name: string, of = "g"): Subscription {
  const group = { name: of, strategy: "round-robin", key: "" } as const;
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

Deno.test("Audiences.member() chooses none that has left, whatever it told late", () => {
  const { of, audiences, interest } = setUp({
    b: [inGroup("job")],
    c: [inGroup("job")],
  });
  interest.gone("b", 1);
  audiences.left("b");
  const version = { incarnation: 1, run: 1, sequence: 2 };
  for (const message of writeAll(version, [inGroup("job")])) {
    interest.receive("b", message); // it has come another way than its goodbye
  }
  for (let i = 0; i < 4; i++) {
    assertEquals(audiences.member("job", "g"), "c");
    assertEquals(of("job").target.to, ["c"]);
  }
  assertEquals([...audiences.handling("job")], ["c"]);
  audiences.joined("b");
  const members = [1, 2].map(() => audiences.member("job", "g"));
  assertEquals(members.sort(), ["b", "c"]);
  interest.close();
});

Deno.test("Audiences.of() finds room for groups, however many one node makes up", () => {
  const made = Array.from(
    { length: 1_000 },
    (_, i) => inGroup("job", `${i}`.padStart(200, "x")),
  );
  const { of, interest } = setUp({
    b: [inGroup("job"), inGroup("job", "h")],
    c: [inGroup("job")],
    d: made,
  });
  const names = made.map(({ group }) => group?.name ?? "");
  for (let i = 0; i < 4; i++) {
    const { target, extras } = of("job");
    assert(extras !== null);
    const at = (id: string) => readChosen(extras, 0, extras.length, id);
    const [b, c, d] = [at("b"), at("c"), at("d")];
    // One of the two, which is how it is without the others.
    assert(b.includes("g") !== c.includes("g"));
    assertEquals([b.includes("h"), c.includes("h")], [true, false]);
    assertEquals(d.includes("g"), false);
    // As many of them as count.
    for (const name of names.slice(0, 64)) {
      assertEquals([b, c, d].map((one) => one.includes(name)), [
        true,
        false,
        true,
      ]);
    }
    assert(target.to === "all" || target.to.includes("d"));
  }
  assertEquals(interest.table.find("job").groups.length, 2 + 64);
  interest.close();
});

Deno.test("Interest.add() refuses more groups of a name than count", () => {
  const { interest } = setUp({});
  for (let i = 0; i < 64; i++) interest.add(inGroup("job", `${i}`));
  assertThrows(
    () => interest.add(inGroup("job", "more")),
    RangeError,
    'Cannot handle "job" in group "more": this node does so in 64 groups already',
  );
  interest.add(inGroup("job", "7"));
  interest.add(inGroup("other", "more"));
  interest.close();
});
