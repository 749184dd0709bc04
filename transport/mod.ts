/**
 * Moves whole messages between two nodes: the interfaces of a transport, and what
 * makes and joins transports. The transports themselves are exports of their own:
 * `@devts/transport/tcp`, `/tls`, `/quic`, `/websocket`, `/memory`.
 *
 * ```ts
 * import { combine } from "@devts/transport";
 * import { memory } from "@devts/transport/memory";
 * import { tcp } from "@devts/transport/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const transport = combine(tcp(), memory());
 * assertEquals(transport.schemes, ["tcp", "memory"]);
 *
 * await using listener = await transport.listen("memory://inbox");
 * await using dialled = await transport.connect(listener.address);
 * await dialled.send(new TextEncoder().encode("hello"));
 * for await (const accepted of listener) {
 *   await using connection = accepted;
 *   const message = await connection.receive();
 *   assertEquals(new TextDecoder().decode(message ?? undefined), "hello");
 *   break;
 * }
 * ```
 *
 * @module
 */

export * from "./combine.ts";
export {
  type CertificateOptions,
  type Certificates,
  type Credentials,
  isSecurable,
  type SecurableTransport,
  serverName,
  type StallLimits,
} from "./credentials.ts";
export * from "./framing.ts";
export * from "./types.ts";
export * from "./wrap.ts";
