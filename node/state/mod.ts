/**
 * Replicated state: what several nodes hold together, without a node that leads. Each
 * is a behaviour, given to a node by `node.use(name, …)`; nodes that use the same name
 * hold the same.
 *
 * | | what it is | writes that do not know of each other |
 * | --- | --- | --- |
 * | `map()` | values by key | the last writer of a key wins, one is lost |
 * | `register()` | one value | the last writer wins, one is lost |
 * | `multiRegister()` | one value | all are kept, for the program to merge |
 * | `counter()`, `upDownCounter()` | a number | all count |
 * | `set()` | strings | an addition wins over a removal |
 * | `presence()` | who is there | each node speaks for itself |
 *
 * @module
 */
export * from "./clock.ts";
export * from "./counter.ts";
export * from "./errors.ts";
export { compareStamps, type Stamp } from "./hlc.ts";
export * from "./map.ts";
export * from "./presence.ts";
export * from "./register.ts";
export * from "./set.ts";
export type * from "./types.ts";
