// The npm build of the same code answers `@std/cli` in the checkout, so that it
// builds where only the npm registry is reachable. Published packages depend on
// `jsr:@std/cli`.
// @ts-types="./mod.d.ts"
export * from "npm:deno-std@1.4.0/cli/parse_args.js";
