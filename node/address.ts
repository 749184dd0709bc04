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
