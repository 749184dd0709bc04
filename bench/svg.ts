/** Bars that belong together. */
export interface Group {
  readonly title: string;
  readonly bars: readonly Bar[];
}

/** A bar: its length is in proportion to `value`. */
export interface Bar {
  readonly name: string;
  readonly value: number;
  /** What stands at its end. */
  readonly label: string;
  /** The colour, as in CSS. */
  readonly colour: string;
}

/**
 * The colour of the text and of what is not in colour: a grey that can be read on white
 * as well as on black, since an image does not know what it stands on.
 */
export const GREY = "#767b84";

const WIDTH = 860;
const NAMES = 240;
const LABELS = 170;
const BAR = 20;
const TITLE = 34;
const MARGIN = 12;

/** Draws horizontal bars, all to the same scale. */
export function bars(title: string, groups: readonly Group[]): string {
  const values = groups.flatMap((group) => group.bars.map((bar) => bar.value));
  const scale = (WIDTH - NAMES - LABELS) / Math.max(1, ...values);
  const lines: string[] = [];
  let y = MARGIN + TITLE;
  for (const group of groups) {
    y += TITLE;
    lines.push(text({ x: MARGIN, y: y - 10, bold: true }, group.title));
    for (const bar of group.bars) {
      lines.push(...drawn(bar, y, scale * bar.value));
      y += BAR;
    }
  }
  const height = y + MARGIN;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${
    escaped(title)
  }" font-family="system-ui, sans-serif" font-size="13">
${text({ x: MARGIN, y: MARGIN + 18, bold: true }, title)}
${lines.join("\n")}
</svg>
`;
}

function drawn(
  { name, label, colour }: Bar,
  y: number,
  length: number,
): string[] {
  const width = Math.max(1, length).toFixed(1);
  const baseline = y + BAR - 6;
  return [
    text({ x: NAMES - 8, y: baseline, end: true }, name),
    `<rect x="${NAMES}" y="${y + 2}" width="${width}" height="${
      BAR - 4
    }" rx="2" fill="${escaped(colour)}"/>`,
    text({ x: NAMES + Math.max(1, length) + 6, y: baseline }, label),
  ];
}

function text(
  { x, y, bold = false, end = false }: {
    x: number;
    y: number;
    bold?: boolean;
    end?: boolean;
  },
  content: string,
): string {
  const weight = bold ? ' font-weight="600"' : "";
  const anchor = end ? ' text-anchor="end"' : "";
  return `<text x="${x.toFixed(1)}" y="${y}" fill="${GREY}"${weight}${anchor}>${
    escaped(content)
  }</text>`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
