/** A range of addresses: the leading bits of one. */
interface Range {
  readonly bytes: readonly number[];
  readonly bits: number;
}

/** A list of address ranges, and of names. */
export class Ranges {
  readonly #ranges: readonly Range[];
  readonly #names: readonly string[];

  /**
   * `"10.0.0.0/8"`, `"fd00::/8"`, `"192.0.2.1"`, `"node-1"`, `"*.example.com"`.
   *
   * @throws {TypeError} If an entry is none of these.
   */
  constructor(entries: readonly string[]) {
    const ranges: Range[] = [];
    const names: string[] = [];
    for (const entry of entries) {
      const range = parseRange(entry);
      if (range) ranges.push(range);
      else if (NAME.test(entry)) names.push(entry.toLowerCase());
      else {
        throw new TypeError(
          `Cannot use "${entry}" as a range of addresses: write "10.0.0.0/8", "fd00::/8", an address or a name`,
        );
      }
    }
    this.#ranges = ranges;
    this.#names = names;
  }

  /** Whether a host is in it. */
  has(host: string): boolean {
    const bytes = parseAddress(host);
    return bytes
      ? this.#ranges.some((range) => isIn(bytes, range))
      : this.#names.some((name) => isNamed(host, name));
  }
}

// What has only digits, dots and colons would be an address.
const NAME = /^(?:\*\.)?(?=[^/]*[a-z])[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/i;

/** The host of an address such as `"tcp://[::1]:7946"`; "" where it has none. */
export function hostOf(address: string): string {
  const match = /^[a-z][a-z0-9+.-]*:\/\/(?:\[([^\]]*)\]|([^:/?#]*))/i
    .exec(address);
  return (match?.[1] ?? match?.[2] ?? "").toLowerCase();
}

/** Whether a host is an address, not a name that somebody else resolves. */
export function isNumeric(host: string): boolean {
  return parseAddress(host) !== null;
}

function parseRange(entry: string): Range | null {
  const [, address = "", length] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(entry) ??
    [];
  const bytes = parseAddress(address);
  if (!bytes) return null;
  const all = 8 * bytes.length;
  // The range of an IPv4 address that is written as one of IPv6.
  const before = bytes.length === 4 && address.includes(":") ? 96 : 0;
  const bits = length === undefined ? all : Number(length) - before;
  return bits >= 0 && bits <= all ? { bytes, bits } : null;
}

/** The 4 or 16 bytes of an address; IPv4 within IPv6 counts as IPv4. */
function parseAddress(host: string): readonly number[] | null {
  if (!host.includes(":")) return parseV4(host);
  const bytes = parseV6(host);
  if (!bytes) return null;
  const isMapped = bytes.slice(0, 10).every((byte) => byte === 0) &&
    bytes[10] === 255 && bytes[11] === 255;
  return isMapped ? bytes.slice(12) : bytes;
}

/** Only the usual form: others, such as `010.1` or `2130706433`, are no address. */
function parseV4(text: string): number[] | null {
  if (!/^(?:0|[1-9]\d{0,2})(?:\.(?:0|[1-9]\d{0,2})){3}$/.test(text)) {
    return null;
  }
  const bytes = text.split(".").map(Number);
  return bytes.every((byte) => byte <= 255) ? bytes : null;
}

function parseV6(text: string): number[] | null {
  const halves = text.replace(/%.*$/, "").split("::");
  if (halves.length > 2) return null;
  const [head = [], tail = []] = halves.map(groupsOf);
  const length = head.length + tail.length;
  if (head.includes(-1) || tail.includes(-1)) return null;
  if (halves.length === 1 ? length !== 8 : length > 7) return null;
  const zeros = new Array<number>(8 - length).fill(0);
  return [...head, ...zeros, ...tail]
    .flatMap((group) => [group >> 8, group & 255]);
}

/** The groups of 16 bits in a half of an IPv6 address; -1 for what is none. */
function groupsOf(half: string): number[] {
  if (half === "") return [];
  return half.split(":").flatMap((group, index, groups) => {
    if (/^[0-9a-f]{1,4}$/i.test(group)) return [parseInt(group, 16)];
    const v4 = index === groups.length - 1 ? parseV4(group) : null;
    if (!v4) return [-1];
    const [a = 0, b = 0, c = 0, d = 0] = v4;
    return [a << 8 | b, c << 8 | d];
  });
}

function isIn(bytes: readonly number[], range: Range): boolean {
  if (bytes.length !== range.bytes.length) return false;
  return bytes.every((byte, index) => {
    const bits = Math.min(8, Math.max(0, range.bits - 8 * index));
    const mask = 0xff00 >> bits & 0xff;
    return ((byte ^ (range.bytes[index] ?? 0)) & mask) === 0;
  });
}

function isNamed(host: string, name: string): boolean {
  return name.startsWith("*.")
    ? host.endsWith(name.slice(1)) && host.length >= name.length
    : host === name;
}
