/** How far an address reaches. */
export type Reach =
  /** Every interface: no address to tell anyone. */
  | "wildcard"
  /** This machine, or this process. */
  | "local"
  /** Other machines. */
  | "network";

/**
 * How far an address reaches, by its host: the one part of a URL that means the
 * same for every transport. A name in memory and the path of a Unix socket are
 * local; a host that is not known to be local is of the network.
 *
 * @throws {TypeError} If it is not a URL.
 */
export function reachOf(address: string): Reach {
  const host = hostOf(address);
  if (isName(address, host)) return "local";
  if (isWildcard(host)) return "wildcard";
  return isLoopback(host) ? "local" : "network";
}

/** As {@linkcode reachOf}, for an address that a peer wrote: a bad one is from the network. */
export function reachOfRemote(address: string): Reach {
  try {
    return reachOf(address);
  } catch {
    return "network";
  }
}

/**
 * What stands after "memory://" is a name, and after "unix://" a path: nothing of
 * the network. In any other scheme a host without a port may have one by default.
 */
function isName(address: string, host: string): boolean {
  return /^(?:memory|virtual):/i.test(address) ||
    (host === "" && /^[a-z][a-z0-9+.-]*:\/\/\//i.test(address));
}

function hostOf(address: string): string {
  const match = /^[a-z][a-z0-9+.-]*:\/\/(\[[^\]]*\]|[^:/?#]*)/i.exec(address);
  if (!match || /^\[[^\]]*$/.test(match[1] ?? "")) {
    throw new TypeError(
      `Cannot use the address "${address}": write it as a URL, such as "tcp://127.0.0.1:7946"`,
    );
  }
  return (match[1] ?? "").replace(/^\[|\]$/g, "").toLowerCase();
}

function isWildcard(host: string): boolean {
  return /^0+(\.0+){0,3}$/.test(host) || /^[0:]*:[0:]*$/.test(host) ||
    host === "::ffff:0.0.0.0" || /^(0*:)*ffff:0+:0+$/.test(host) ||
    host === "*";
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host.endsWith(".localhost") ||
    /^127(\.\d{1,3}){3}$/.test(host) || /^(0*:)+0*1$/.test(host) ||
    /^::ffff:127(\.\d{1,3}){3}$/.test(host) ||
    /^(0*:)*ffff:7f[0-9a-f]{2}:[0-9a-f]{1,4}$/.test(host);
}

/**
 * Where strangers at an address count as one: a host, or the /64 of one in IPv6, which
 * a single machine has all of. "local": this machine; "": nobody knows.
 */
export function placeOf(address: string): string {
  let host: string;
  try {
    host = hostOf(address);
    if (isName(address, host) || isLoopback(host)) return "local";
  } catch {
    return "";
  }
  if (host === "" || host.endsWith(".invalid")) return "";
  if (!host.includes(":")) return host;
  const mapped = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/.exec(host);
  return mapped?.[1] ?? networkOf(host);
}

/** The first four groups of an IPv6 address. */
function networkOf(host: string): string {
  const [head = "", tail] = host.replace(/%.*$/, "").split("::");
  const groups = head === "" ? [] : head.split(":");
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : 8 - groups.length - after.length;
  const all = [...groups, ...new Array(Math.max(0, zeros)).fill("0"), ...after];
  return all.slice(0, 4).map((group) => parseInt(group, 16).toString(16)).join(
    ":",
  ) +
    "::/64";
}
