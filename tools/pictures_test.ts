import { assertEquals } from "@std/assert";
import { PICTURES } from "./pictures.ts";

for (const [name, draw] of Object.entries(PICTURES)) {
  Deno.test(`docs/${name} is what \`deno task pictures\` draws`, async () => {
    const file = new URL(`../docs/${name}`, import.meta.url);
    assertEquals(await draw(), await Deno.readTextFile(file));
  });
}
