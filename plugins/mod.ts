/**
 * Layers around a transport or a link, each one factory in a file of its own, and
 * the order in which they are put together.
 *
 * ```ts
 * import { withPlugins } from "@devts/plugins";
 * import { analytics } from "@devts/plugins/analytics";
 * import { memory } from "@devts/transport/memory";
 * import { assertEquals } from "@std/assert";
 *
 * const counts = analytics();
 * const transport = withPlugins(memory(), counts.plugin);
 * assertEquals(transport.schemes, ["memory"]);
 * assertEquals(counts.snapshot().connections.opened, 0);
 * ```
 *
 * @module
 */

export * from "./types.ts";
export * from "./with_plugins.ts";
