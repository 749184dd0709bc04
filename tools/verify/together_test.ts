import { assertEquals, assertRejects } from "@std/assert";
import type { MeasureOptions, Row } from "./runner.ts";
import { together } from "./together.ts";

const OPTIONS: MeasureOptions = { short: true, progress: () => {} };

Deno.test("together() starts all rows with the first one, once", async () => {
  const started: string[] = [];
  const row = (what: string): Row => ({
    what,
    target: "",
    measure: () => {
      started.push(what);
      return what === "bad"
        ? Promise.reject(new RangeError("bad"))
        : Promise.resolve({ figure: what, held: true });
    },
  });
  const [one, bad, other] = together([row("one"), row("bad"), row("other")]);
  assertEquals(await one?.measure(OPTIONS), { figure: "one", held: true });
  assertEquals(started, ["one", "bad", "other"]);
  await assertRejects(() => bad?.measure(OPTIONS) ?? Promise.resolve());
  assertEquals(await other?.measure(OPTIONS), { figure: "other", held: true });
  assertEquals(started.length, 3);
});
