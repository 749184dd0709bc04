import type { Figures } from "./figures.ts";
import type { Result, Work } from "./measure.ts";
import type { Versions } from "./versions.ts";

/** Everything that came out. */
export interface Report {
  /** How often each peer took its turn. */
  readonly repetitions: number;
  /** A table for each work. */
  readonly tables: readonly Table[];
  /** What everything ran on. */
  readonly platform: Versions;
  /** What each peer ran on, by its name. */
  readonly versions: ReadonlyMap<string, Versions>;
  /** Peers that could not be measured, and why. */
  readonly missing: readonly Missing[];
}

/** A work, and what each peer came to; all are held against the first one. */
export interface Table {
  readonly work: Work;
  readonly results: readonly Result[];
}

/** A peer that is left out, and why. */
export interface Missing {
  readonly name: string;
  readonly reason: string;
}

/** What the cells of a row are made of. */
interface Row extends Result {
  /** The medians of the first peer. */
  readonly reference: Figures;
}

/** A column: its title, and what stands in it. */
type Column = readonly [title: string, cell: (row: Row) => string];

const RATIO: Column = [
  "× raw",
  ({ medians, reference }) => ratioText(medians.rate, reference.rate),
];
const LOWEST_TO_HIGHEST: Column = [
  "lowest to highest",
  ({ samples }) => {
    const rates = samples.map(({ rate = NaN }) => rate);
    return `${rateText(Math.min(...rates))} to ${rateText(Math.max(...rates))}`;
  },
];
const MEMORY: Column = [
  "MiB",
  ({ medians }) =>
    [
      medians.publisherMemory,
      medians.subscriberMemory,
      medians.brokerMemory,
    ].map(wholeText).join(" / "),
];
const CPU: Column = [
  "CPU µs",
  ({ medians }) =>
    [medians.publisherCpu, medians.subscriberCpu, medians.brokerCpu]
      .map(cpuText).join(" / "),
];

const COLUMNS: Readonly<Record<Work["type"], readonly Column[]>> = {
  broadcast: [
    ["messages/s", ({ medians }) => rateText(medians.rate)],
    LOWEST_TO_HIGHEST,
    RATIO,
    CPU,
    MEMORY,
  ],
  requests: [
    ["requests/s", ({ medians }) => rateText(medians.rate)],
    LOWEST_TO_HIGHEST,
    RATIO,
    [
      "p50 µs (× raw)",
      ({ medians, reference }) =>
        `${figureText(medians.p50)} (${ratioText(medians.p50, reference.p50)})`,
    ],
    [
      "p99 µs (× raw)",
      ({ medians, reference }) =>
        `${figureText(medians.p99)} (${ratioText(medians.p99, reference.p99)})`,
    ],
    CPU,
    MEMORY,
  ],
};

/** Writes a report as Markdown, with an image of it where there is one. */
export function markdown(report: Report, image?: string): string {
  const { repetitions, tables, platform, versions, missing } = report;
  const parts = [
    "# Benchmark",
    `Measured on ${versionsText(platform)}.`,
    ...image === undefined ? [] : [`![Bars of the tables below](${image})`],
    ...tables.flatMap(({ work, results }) => [
      `## ${work.name}`,
      tableText(work, results),
    ]),
    "## How to read it",
    notes(repetitions),
    "## Versions",
    listText([...versions].map(([name, own]) => [name, versionsText(own)])),
  ];
  if (missing.length > 0) {
    parts.push(
      "## Left out",
      listText(missing.map(({ name, reason }) => [name, reason])),
    );
  }
  return `${parts.join("\n\n")}\n`;
}

/** A rate for a person: `1.13 M`, `889 k`, `5.80 k`, `535`. */
export function rateText(rate: number | undefined): string {
  if (rate === undefined || !Number.isFinite(rate)) return "–";
  const digits = Number(rate.toPrecision(3));
  if (digits >= 1_000_000) return `${(digits / 1_000_000).toPrecision(3)} M`;
  if (digits >= 1_000) return `${(digits / 1_000).toPrecision(3)} k`;
  return figureText(digits);
}

/** A ratio for a person: `12`, `1.04`, `0.52`, `0.041`, `0.0015`. */
export function ratioText(
  value: number | undefined,
  reference: number | undefined,
): string {
  const ratio = (value ?? NaN) / (reference ?? NaN);
  if (!Number.isFinite(ratio)) return "–";
  if (ratio >= 10) return ratio.toFixed(0);
  return ratio >= 0.1 ? ratio.toFixed(2) : plain(ratio, 2);
}

function figureText(figure: number | undefined): string {
  if (figure === undefined || !Number.isFinite(figure)) return "–";
  return figure >= 100 ? figure.toFixed(0) : plain(figure, 3);
}

/** The clock behind it is too coarse for more digits. */
function cpuText(micros: number | undefined): string {
  if (micros === undefined) return "–";
  return micros >= 10 ? micros.toFixed(0) : plain(micros, 2);
}

function wholeText(figure: number | undefined): string {
  return figure === undefined ? "–" : figure.toFixed(0);
}

/** So many digits, without an exponent. */
function plain(value: number, digits: number): string {
  if (value === 0) return "0";
  const magnitude = Math.floor(Math.log10(value));
  return value.toFixed(Math.max(0, digits - 1 - magnitude));
}

function tableText(work: Work, results: readonly Result[]): string {
  const columns = COLUMNS[work.type];
  const reference = results[0]?.medians ?? {};
  const rows = results.map((result) => {
    const row = { ...result, reference };
    const cells = result.failure === undefined
      ? columns.map(([, cell]) => cell(row))
      : [cellText(result.failure), ...columns.slice(1).map(() => "")];
    return [cellText(result.peer), ...cells];
  });
  const titles = ["", ...columns.map(([title]) => title)];
  const rule = ["---", ...columns.map(() => "---:")];
  return [titles, rule, ...rows].map((cells) => `| ${cells.join(" | ")} |`)
    .join("\n");
}

/** In one line, and without what would end the cell. */
function cellText(text: string): string {
  return text.replaceAll(/\s+/g, " ").replaceAll("|", "\\|").slice(0, 300);
}

function versionsText(versions: Versions): string {
  return Object.entries(versions).map(([name, version]) => `${name} ${version}`)
    .join(", ");
}

function listText(entries: readonly (readonly [string, string])[]): string {
  return entries.map(([name, text]) => `- ${name}: ${text}`).join("\n");
}

function notes(repetitions: number): string {
  return `- Every figure is the median of ${repetitions} repetitions. In each of them every
  system takes its turn, after a warm-up, and \`lowest to highest\` is what they range
  over. The machine is shared: compare ratios, not digits.
- \`× raw\` is the ratio to raw Deno TCP in the same run: \`Deno.Conn\` with as little
  around it as possible, the same codec for objects, batches of 64 KiB that all
  subscribers share (1 MiB for messages of 64 KiB) and that are used again, one large
  read buffer, and views of it instead of copies. A subscriber of it must not keep
  what it is handed; those of all others may.
- Each node is a process of its own, and all are on one machine: the network is the
  loopback interface, and the processes share the processors, so a system that needs
  less CPU time has a higher rate. \`CPU µs\` is what the operating system counts for
  each message: of the publisher or client, of a subscriber or the server, and of the
  broker, where there is one. \`MiB\` is their resident memory.
- \`messages/s\` is what each of the subscribers gets, from the first \`publish\` to the
  last arrival at the slowest one. A message that is lost, doubled, out of order or not
  what was sent fails the run: each has a sequence number and a checksum, objects are
  compared entirely, and of the messages of bytes one in 1,024 is, byte by byte. Up to
  64 of these are kept and compared again at the end.`;
}
