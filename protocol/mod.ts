/**
 * What the bytes of a message mean: the interfaces of codecs and of the protocol.
 * The codecs (`@devts/protocol/msgpackr`, `/msgpack`, `/json`) and the protocol
 * (`/v1`) are exports of their own, so that a program loads only what it uses.
 *
 * A codec is an object with two methods:
 *
 * ```ts
 * import type { Codec } from "@devts/protocol";
 * import { assertEquals } from "@std/assert";
 *
 * const text: Codec<string> = {
 *   name: "text",
 *   encode: (value) => new TextEncoder().encode(value),
 *   decode: (bytes) => new TextDecoder().decode(bytes),
 * };
 * assertEquals(text.decode(text.encode("hello")), "hello");
 * ```
 *
 * @module
 */

export * from "./types.ts";
export type { ScanLimits } from "./scan.ts";
