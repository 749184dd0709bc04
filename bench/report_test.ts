import { assertEquals, assertStringIncludes } from "@std/assert";
import { chart } from "./chart.ts";
import type { Result, Work } from "./measure.ts";
import {
  markdown,
  rateText,
  ratioText,
  type Report,
  type Table,
} from "./report.ts";

const BROADCAST: Work = {
  type: "broadcast",
  name: "Objects",
  kind: "object128",
  subscribers: 3,
};
const REQUESTS: Work = {
  type: "requests",
  name: "Requests",
  inFlight: 1,
  pinned: true,
};

function result(peer: string, rate: number): Result {
  const medians = {
    rate,
    publisherCpu: 0.4321,
    subscriberCpu: 12.3,
    publisherMemory: 61.7,
    subscriberMemory: 50,
    p50: rate / 10,
    p99: 1_234.5,
  };
  const samples = [{ rate: rate / 2 }, { rate }, { rate: 2 * rate }];
  return { peer, count: 10, samples, medians };
}

const FAILED: Result = {
  peer: "late",
  count: 10,
  samples: [],
  medians: {},
  failure: "failed: 3 of 10\n  a|b",
};

const TABLES: readonly Table[] = [
  {
    work: BROADCAST,
    results: [result("raw", 1e6), result("own", 5e5), FAILED],
  },
  { work: REQUESTS, results: [result("raw", 1_000)] },
];

const REPORT: Report = {
  repetitions: 7,
  tables: TABLES,
  platform: { Deno: "2.9.6", processors: "2 × X" },
  versions: new Map([["own", { own: "1.0.0", codec: "2" }]]),
  missing: [],
};

Deno.test("markdown() writes a table for each work", () => {
  const text = markdown(REPORT);
  for (
    const line of [
      "Measured on Deno 2.9.6, processors 2 × X.",
      "## Objects",
      "|  | messages/s | lowest to highest | × raw | CPU µs | MiB |",
      "| --- | ---: | ---: | ---: | ---: | ---: |",
      "| own | 500 k | 250 k to 1.00 M | 0.50 | 0.43 / 12 / – | 62 / 50 / – |",
      "## Requests",
      "| raw | 1.00 k | 500 to 2.00 k | 1.00 | 100 (1.00) | 1235 (1.00) | 0.43 / 12 / – | 62 / 50 / – |",
      "- Every figure is the median of 7 repetitions. In each of them every",
      "- own: own 1.0.0, codec 2",
    ]
  ) assertStringIncludes(text, `${line}\n`);
});

Deno.test("markdown() says which run failed, in one cell", () => {
  assertStringIncludes(
    markdown(REPORT),
    "\n| late | failed: 3 of 10 a\\|b |  |  |  |  |\n",
  );
});

Deno.test("markdown() says what is left out, and shows an image where there is one", () => {
  const plain = markdown(REPORT);
  assertEquals(plain.includes("Left out") || plain.includes("!["), false);
  const missing = [{ name: "Other", reason: "no server" }];
  const text = markdown({ ...REPORT, missing }, "bars.svg");
  assertStringIncludes(text, "\n## Left out\n\n- Other: no server\n");
  assertStringIncludes(text, "](bars.svg)");
});

Deno.test("rateText() has three digits", () => {
  assertEquals(
    [1_234_567, 999_999, 88_888, 5_800, 999.9, 535, 1.5, NaN, undefined].map(
      rateText,
    ),
    ["1.23 M", "1.00 M", "88.9 k", "5.80 k", "1.00 k", "535", "1.50", "–", "–"],
  );
});

Deno.test("ratioText() has two digits after the point or in all, and no exponent", () => {
  assertEquals(
    [12.34, 1, 0.516, 0.0412, 0.000_32].map((value) => ratioText(value, 1)),
    ["12", "1.00", "0.52", "0.041", "0.00032"],
  );
  assertEquals(ratioText(undefined, 1), "–");
  assertEquals(ratioText(1, undefined), "–");
});

Deno.test("chart() ranks what did not fail, and marks what it is of", () => {
  const svg = chart(TABLES, "own");
  const names = [...svg.matchAll(/text-anchor="end">([^<]*)</g)].map((
    [, name],
  ) => name);
  assertEquals(names, ["raw", "own", "raw"]);
  assertStringIncludes(svg, ">0.50 · 500 k/s<");
});
