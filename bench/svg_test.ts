import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { OTHERS, OWN } from "./chart.ts";
import { bars, GREY } from "./svg.ts";

/** The share of light that an sRGB colour reflects, as WCAG 2 defines it. */
function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((start) => {
    const part = parseInt(colour.slice(start, start + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** The elements that are open at the end, and a complaint where one closes another. */
function unclosed(xml: string): string[] {
  const open: string[] = [];
  for (const [, end, name, , empty] of xml.matchAll(TAG)) {
    if (name === undefined || empty) continue;
    if (!end) open.push(name);
    else if (open.pop() !== name) return [`</${name}>`];
  }
  return open;
}
const TAG = /<(\/?)([a-z]+)((?: [\w:-]+="[^"<>]*")*)(\/?)>/g;

const GROUPS = [{
  title: "a & b",
  bars: [
    { name: '<one> "1"', value: 1, label: "1.00", colour: "#000000" },
    { name: "two", value: 0.0001, label: "0.0001", colour: "#000000" },
  ],
}];

Deno.test("bars() is well-formed, whatever the names", () => {
  const svg = bars("all", GROUPS);
  assertEquals(unclosed(svg), []);
  assertStringIncludes(svg, "a &amp; b");
  assertStringIncludes(svg, "&lt;one&gt; &quot;1&quot;");
  assertEquals(
    svg.replaceAll(TAG, "").match(/[<>]|&(?!amp;|lt;|gt;|quot;)/g),
    null,
  );
});

Deno.test("bars() draws to one scale, and nothing too short to see", () => {
  const widths = [
    ...bars("all", GROUPS).matchAll(/<rect[^>]* width="([\d.]+)"/g),
  ]
    .map(([, width]) => Number(width));
  assertEquals(widths.length, 2);
  assert((widths[0] ?? 0) > 400);
  assertEquals(widths[1], 1);
});

Deno.test("text can be read on white and on black, and bars be seen", () => {
  const least = [[GREY, 4], [OWN, 2.5], [OTHERS, 2.5]] as const;
  for (const [colour, contrast] of least) {
    const own = luminance(colour) + 0.05;
    assert(1.05 / own >= contrast, `${colour} on white`);
    assert(own / 0.05 >= contrast, `${colour} on black`);
  }
});
