/**
 * The conformance suite of transports: one call registers a test for each point of
 * the contracts of `Transport`, `Listener` and `Connection`.
 *
 * ```ts
 * import { memory } from "@devts/transport/memory";
 * import { testTransport } from "@devts/transport/testing";
 *
 * // In my_transport_test.ts; here it is called without being run.
 * function register(): void {
 *   testTransport("memory()", { transport: () => memory(), address: "memory://0" });
 * }
 * console.assert(typeof register === "function");
 * ```
 *
 * @module
 */

import { CONNECTION_FACTS } from "./_connection_suite.ts";
import { IN_PLACE_FACTS } from "./_in_place_suite.ts";
import type { Facts } from "./_suite.ts";
import { TRANSPORT_FACTS } from "./_transport_suite.ts";
import type { Transport } from "./types.ts";

const FACTS: Facts = {
  ...CONNECTION_FACTS,
  ...IN_PLACE_FACTS,
  ...TRANSPORT_FACTS,
};

/** Options of {@linkcode testTransport}. */
export interface TestTransportOptions {
  /** Makes the transport; called once per test. */
  readonly transport: () => Transport | Promise<Transport>;
  /** What to listen on, such that what is free is chosen: `"tcp://127.0.0.1:0"`. */
  readonly address: string;
  /** Tests that do not apply, by name, each with the reason. */
  readonly skip?: Readonly<Record<string, string>>;
}

/**
 * Registers the conformance tests of a transport with `Deno.test`.
 *
 * - A skipped test is registered as ignored, with its reason in its name.
 * - Connections that are an `InPlaceConnection` are held to that, too. For
 *   others, those tests have one ignored step, "skipped", and nothing else.
 * - The limit of a message is taken to be 1 MiB, as it is by default.
 * - The runtime's sanitizers tell what leaks: every test closes what it opens.
 *
 * @param name What the names of the tests start with: `"tcp()"`.
 * @param options The transport, where to listen, what to skip.
 * @throws {TypeError} If `skip` names a test that does not exist.
 */
export function testTransport(
  name: string,
  options: TestTransportOptions,
): void {
  const skip = new Map(Object.entries(options.skip ?? {}));
  for (const fact of skip.keys()) {
    if (Object.hasOwn(FACTS, fact)) continue;
    throw new TypeError(
      `Cannot skip the test "${fact}" of ${name}: there is none of that name`,
    );
  }
  for (const [fact, run] of Object.entries(FACTS)) {
    const reason = skip.get(fact);
    Deno.test({
      name: reason === undefined
        ? `${name} ${fact}`
        : `${name} ${fact} (skipped: ${reason})`,
      ignore: reason !== undefined,
      fn: async (t) => await run(await options.transport(), options.address, t),
    });
  }
}
