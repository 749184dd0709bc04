import { assert, assertEquals } from "@std/assert";
import { Graves } from "./_swim_graves.ts";
import type { Peer } from "./types.ts";

function peer(id: string, incarnation = 7): Peer {
  return { id, incarnation, addresses: [`virtual://${id}`] };
}

Deno.test("Graves looks for those who failed, less and less often", () => {
  const graves = new Graves(() => 0.5, 10);
  graves.bury(peer("a"), "failed", true, 0);
  const times: number[] = [];
  for (let now = 0; now < 600_000; now += 1000) {
    if (graves.due(now, 2) !== null) times.push(now);
  }
  const pauses = times.map((time, at) => time - (times[at - 1] ?? 0));
  assertEquals(pauses.slice(0, 6), [3000, 5000, 5000, 5000, 5000, 6000]);
  assert(pauses.every((pause) => pause <= 60_000));
  assertEquals(pauses.at(-1), 60_000);
});

Deno.test("Graves looks for one at a time, in turn, and less often among many", () => {
  const graves = new Graves(() => 0.5, 10);
  for (const id of ["a", "b", "c"]) graves.bury(peer(id), "failed", true, 0);
  const looked = [5000, 5000, 5000, 5000].map((now) =>
    graves.due(now, 2)?.peer.id
  );
  assertEquals(looked, ["a", "b", "c", undefined]);
  graves.bury(peer("d"), "failed", true, 0);
  assertEquals(graves.due(5000, 160)?.peer.id, "d");
  assertEquals(graves.due(54_000, 160)?.peer.id !== "d", true);
});

Deno.test("Graves looks for nobody who left, nor by addresses that are hearsay", () => {
  const graves = new Graves(() => 0.5, 10);
  graves.bury(peer("a"), "left", true, 0);
  graves.bury(peer("b"), "failed", false, 0);
  assertEquals(graves.due(60_000, 2), null);
});

Deno.test("Graves forgets those who left after ten minutes, who failed after a day", () => {
  const graves = new Graves(() => 0.5, 10);
  graves.bury(peer("a"), "left", true, 0);
  graves.bury(peer("b"), "failed", true, 0);
  graves.due(601_000, 2);
  assertEquals([graves.get("a"), graves.get("b")?.peer.id], [undefined, "b"]);
  graves.due(86_401_000, 2);
  assertEquals(graves.get("b"), undefined);
});

Deno.test("Graves is bounded", () => {
  const graves = new Graves(() => 0.5, 2);
  const kept = ["a", "b", "c"].map((id) =>
    graves.bury(peer(id), "failed", true, 0)
  );
  assertEquals(kept, [true, true, false]);
  assertEquals(graves.get("a"), undefined);
});
