/**
 * Dials and accepts only certain addresses: {@linkcode allow} those of a list,
 * {@linkcode deny} all but those.
 *
 * ```ts
 * import { withPlugins } from "@devts/plugins";
 * import { allow, deny } from "@devts/plugins/allow";
 * import { tcp } from "@devts/transport/tcp";
 * import { assertRejects } from "@std/assert";
 *
 * const transport = withPlugins(
 *   tcp(),
 *   allow(["127.0.0.0/8", "10.0.0.0/8", "fd00::/8", "*.nodes.example.com"]),
 *   deny(["10.0.0.1"]), // the gateway
 * );
 * await assertRejects(() => transport.connect("tcp://192.0.2.1:7946"));
 * await assertRejects(() => transport.connect("tcp://10.0.0.1:7946"));
 * ```
 *
 * @module
 */

import {
  type Address,
  ConnectionError,
  type ConnectionRole,
  wrapTransport,
} from "@devts/transport";
import { hostOf, isNumeric, Ranges } from "./_ranges.ts";
import type { Plugin } from "./types.ts";

/** Options of {@linkcode allow}. */
export interface AllowOptions {
  /**
   * Told of each address that is refused, and who opened the connection.
   *
   * @default {nobody is told}
   */
  readonly refused?: (address: Address, role: ConnectionRole) => void;
}

/** Options of {@linkcode deny}. */
export interface DenyOptions extends AllowOptions {
  /**
   * Whether hosts that are names may be dialled: nobody knows here whether such a name
   * stands for an address that is denied.
   *
   * @default {false}
   */
  readonly names?: boolean;
}

/**
 * Dials and accepts only hosts of a list.
 *
 * - Entries are ranges (`"10.0.0.0/8"`, `"fd00::/8"`), single addresses, and names
 *   (`"node-1"`, `"*.example.com"`). IPv4 within IPv6 counts as IPv4.
 * - A name in an address is matched by names only, whatever it resolves to: whoever
 *   resolves it decides where the connection goes.
 * - A connection is refused before anything is received from it. The other end sees it
 *   close.
 *
 * @throws {TypeError} If an entry is malformed.
 */
export function allow(
  entries: readonly string[],
  options: AllowOptions = {},
): Plugin {
  const ranges = new Ranges(entries);
  return filter((host) => ranges.has(host), options);
}

/**
 * Dials and accepts no hosts of a list, which is as that of {@linkcode allow}. Hosts
 * that are names are not dialled either, nor accepted where the transport does not know
 * an address, unless `names` is set.
 *
 * @throws {TypeError} If an entry is malformed.
 */
export function deny(
  entries: readonly string[],
  options: DenyOptions = {},
): Plugin {
  const ranges = new Ranges(entries);
  const { names = false } = options;
  return filter(
    (host) => !ranges.has(host) && (names || isNumeric(host)),
    options,
  );
}

function filter(
  passes: (host: string) => boolean,
  { refused }: AllowOptions,
): Plugin {
  const check = (address: Address, role: ConnectionRole): void => {
    if (passes(hostOf(address))) return;
    refused?.(address, role);
    throw new ConnectionError(
      role === "dialer"
        ? `Cannot connect to "${address}": this node may not dial it`
        : `Cannot accept a connection from "${address}": it is not allowed`,
    );
  };
  return (transport) =>
    wrapTransport(transport, {
      async connect(address, options) {
        check(address, "dialer");
        return await transport.connect(address, options);
      },
      connection(connection, role) {
        if (role === "acceptor") check(connection.remote, role);
        return connection;
      },
    });
}
