import { assert, assertEquals } from "@std/assert";
import { seededRandom } from "@devts/routing/testing";
import { type Choice, Groups, stickyMember } from "./groups.ts";
import type { GroupStrategy } from "./types.ts";

const MEMBERS = ["a", "b", "c", "d", "e"];

function setUp(
  strategy: GroupStrategy,
  latencies: Record<string, number> = {},
) {
  const groups = new Groups({
    random: seededRandom(3),
    latency: (id) => latencies[id] ?? Infinity,
  });
  const of = { name: "g", strategy, key: "user" };
  return (choice: Choice = {}, members: readonly string[] = MEMBERS) =>
    groups.choose("job", { of, members }, choice);
}

function count(choose: () => string | null, times: number): number[] {
  const counts = new Map<string | null, number>();
  for (let i = 0; i < times; i++) {
    const chosen = choose();
    counts.set(chosen, (counts.get(chosen) ?? 0) + 1);
  }
  return MEMBERS.map((id) => counts.get(id) ?? 0);
}

Deno.test("Groups.choose() in turns gives each member the same", () => {
  const choose = setUp("round-robin");
  assertEquals(count(choose, 100), [20, 20, 20, 20, 20]);
});

Deno.test("Groups.choose() at random gives each member about the same", () => {
  for (const times of count(setUp("random"), 1_000)) {
    assert(times > 150 && times < 250, `${times}`);
  }
});

Deno.test("Groups.choose() takes whoever answers fastest, any while nobody is known", () => {
  const choose = setUp("least-latency", { b: 5, d: 2 });
  assertEquals(count(choose, 10), [0, 0, 0, 10, 0]);
  assertEquals(choose({ except: new Set(["d"]) }), "b");
  for (const times of count(setUp("least-latency"), 1_000)) assert(times > 150);
});

Deno.test("Groups.choose() leaves out who is excepted, until nobody is left", () => {
  for (
    const strategy of [
      "round-robin",
      "random",
      "least-latency",
      "sticky",
    ] as const
  ) {
    const choose = setUp(strategy);
    const except = new Set<string>();
    for (let left = MEMBERS.length; left > 0; left--) {
      const chosen = choose({ except, key: 1 });
      assert(chosen !== null && !except.has(chosen), strategy);
      except.add(chosen);
    }
    assertEquals(choose({ except }), null);
  }
});

Deno.test("Groups.choose() sticks to the key, or to the field of the data", () => {
  const choose = setUp("sticky");
  for (let i = 0; i < 50; i++) {
    const user = `user ${i}`;
    const chosen = choose({ key: user });
    assertEquals(choose({ data: { user } }), chosen);
    assertEquals(choose({ key: user, data: { user: "other" } }), chosen);
  }
  // Without a key, all go to one.
  const one = choose({ data: { other: 1 } });
  for (const data of [undefined, null, 7, "text", { user: {} }]) {
    assertEquals(choose({ data }), one);
  }
});

Deno.test("stickyMember() moves only the keys of who goes, evenly", () => {
  const keys = Array.from({ length: 2_000 }, (_, i) => `key ${i}`);
  const before = keys.map((key) => stickyMember(MEMBERS, key));
  const counts = MEMBERS.map((id) => before.filter((one) => one === id).length);
  for (const times of counts) assert(times > 300 && times < 500, `${counts}`);
  const rest = MEMBERS.filter((id) => id !== "c");
  for (const [at, key] of keys.entries()) {
    const after = stickyMember(rest, key);
    if (before[at] === "c") assert(after !== "c");
    else assertEquals(after, before[at]);
  }
  assertEquals(stickyMember([], "x"), null);
});
