import { assertEquals } from "@std/assert";
import { PICTURES, RUNS } from "./pictures.ts";

for (const [name, draw] of Object.entries(PICTURES)) {
  Deno.test(`docs/${name} is what \`deno task pictures\` draws`, async () => {
    const file = new URL(`../docs/${name}`, import.meta.url);
    assertEquals(await draw(), await Deno.readTextFile(file));
  });
}

for (const [name, draw] of Object.entries(RUNS)) {
  Deno.test(`docs/${name} shows what \`deno task pictures\` draws, but for details`, async () => {
    const file = new URL(`../docs/${name}`, import.meta.url);
    const drawn = await draw();
    assertEquals(marksIn(drawn), marksIn(await Deno.readTextFile(file)));
    assertEquals(await draw(), drawn);
  });
}

/** How many writes were acknowledged, and how many were not. */
function marksIn(svg: string): readonly number[] {
  return ["ok", "open"].map((mark) => svg.split(`class="${mark}"`).length - 1);
}
