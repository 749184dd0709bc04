import type { Address } from "./types.ts";

/** A host and a port, as the runtime takes them: no brackets around IPv6. */
export interface HostPort {
  readonly hostname: string;
  readonly port: number;
}

const NAME = /^[A-Za-z0-9_.-]+$/;
const BRACKETED = /^\[([0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?)\]$/;

/**
 * Reads `scheme://host:port`.
 *
 * @throws {TypeError} If it is anything else; the message shows the right form.
 */
export function parseHostPort(address: Address, scheme: string): HostPort {
  const fail = (detail: string): never => {
    throw new TypeError(
      `Cannot parse address "${address}": ${detail}; the form is "${scheme}://host:port", such as "${scheme}://127.0.0.1:7946" or "${scheme}://[::1]:7946"`,
    );
  };
  const prefix = `${scheme}://`;
  if (!address.startsWith(prefix)) fail(`it does not start with "${prefix}"`);
  const rest = address.slice(prefix.length);
  const colon = rest.lastIndexOf(":");
  if (colon < 0 || rest.endsWith("]")) fail("the port is missing");
  return {
    hostname: parseHost(rest.slice(0, colon), fail),
    port: parsePort(rest.slice(colon + 1), fail),
  };
}

/** The address of a listener: the host that was given, the port that was chosen. */
export function withPort(address: Address, port: number): Address {
  return `${address.slice(0, address.lastIndexOf(":"))}:${port}`;
}

function parseHost(host: string, fail: (detail: string) => never): string {
  const bracketed = BRACKETED.exec(host)?.[1];
  if (bracketed?.includes(":")) return bracketed;
  if (host === "") return fail("the host is missing");
  if (host.includes(":")) return fail("an IPv6 host stands in brackets");
  if (!NAME.test(host)) return fail(`"${host}" is no host`);
  return host;
}

function parsePort(port: string, fail: (detail: string) => never): number {
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65535) {
    return fail(`"${port}" is no port from 0 to 65535`);
  }
  return Number(port);
}
