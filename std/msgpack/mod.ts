// The npm build of the same code answers `@std/msgpack` in the checkout, so that it
// builds where only the npm registry is reachable. Published packages depend on
// `jsr:@std/msgpack`.
// @ts-types="./mod.d.ts"
export * from "npm:deno-std@1.4.0/msgpack/mod.js";
