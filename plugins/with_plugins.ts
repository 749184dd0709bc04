import type { Connection, Transport } from "@devts/transport";
import type { LinkPeer, LinkPlugin, Plugin } from "./types.ts";

/**
 * Puts plugins around a transport. The first listed is outermost, as in tower's
 * `ServiceBuilder`: what is listed first sees a call first and its result last.
 *
 * With `withPlugins(transport, allow, count)`, a `connect` goes through `allow`,
 * then `count`, then the transport, so that `count` never sees what `allow` has
 * turned down; the connection that comes back passes `count`, then `allow`. With
 * `withPlugins(transport, count, allow)`, `count` sees every attempt.
 *
 * @example Order
 * ```ts
 * import { type Plugin, withPlugins } from "@devts/plugins";
 * import { memory } from "@devts/transport/memory";
 * import { assertEquals } from "@std/assert";
 *
 * const calls: string[] = [];
 * function log(name: string): Plugin {
 *   return (inner) => ({
 *     schemes: inner.schemes,
 *     connect: (address, options) => inner.connect(address, options),
 *     async listen(address) {
 *       calls.push(`${name} before`);
 *       const listener = await inner.listen(address);
 *       calls.push(`${name} after`);
 *       return listener;
 *     },
 *   });
 * }
 *
 * const transport = withPlugins(memory(), log("first"), log("second"));
 * await using _listener = await transport.listen("memory://a");
 * assertEquals(calls, ["first before", "second before", "second after", "first after"]);
 * ```
 *
 * @param transport The transport in the middle.
 * @param plugins The plugins, outermost first.
 * @returns The outermost transport; without plugins, `transport` itself.
 */
export function withPlugins(
  transport: Transport,
  ...plugins: readonly Plugin[]
): Transport {
  return plugins.reduceRight((inner, plugin) => plugin(inner), transport);
}

/**
 * Puts link plugins around the connection of one authenticated link, in the same
 * order as {@linkcode withPlugins}: the first listed sees a message to send first,
 * and a received one last.
 *
 * @param connection The connection in the middle.
 * @param peer The node at the other end.
 * @param plugins The plugins, outermost first.
 * @returns The outermost connection; without plugins, `connection` itself.
 */
export function withLinkPlugins(
  connection: Connection,
  peer: LinkPeer,
  plugins: readonly LinkPlugin[],
): Connection {
  return plugins.reduceRight(
    (inner, plugin) => plugin(inner, peer),
    connection,
  );
}
