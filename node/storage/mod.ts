/**
 * Where replicated state is kept: the interface, and a storage in memory for tests.
 *
 * @module
 */
export * from "./memory.ts";
export * from "./types.ts";
