/**
 * Replicated state: what several nodes hold together, without a node that leads. Each
 * is a behaviour, given to a node by `node.use(name, …)`; nodes that use the same name
 * hold the same.
 *
 * @module
 */
export * from "./errors.ts";
export * from "./hlc.ts";
export * from "./map.ts";
export type * from "./types.ts";
