/**
 * Runs `deno doc --lint` over every entry of every published package in one call:
 * in several, a type of one package counts as private in another.
 *
 * @module
 */

import { publishedMembers } from "./members.ts";

const members = await publishedMembers();
const entries = members.flatMap(({ folder, exports }) =>
  [...exports.values()].map((file) => new URL(file, folder).pathname)
);
const { code } = await new Deno.Command(Deno.execPath(), {
  args: ["doc", "--lint", ...entries],
  stdout: "null",
  stderr: "inherit",
}).output();
Deno.exitCode = code;
