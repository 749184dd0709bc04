import type { Measurement, Row } from "../runner.ts";

/** The files of expected errors. */
const FILES = ["node/types_test.ts", "node/contract_types_test.ts"];

/** A line that is to be an error, or the compiler complains. */
const EXPECTED = /^\s*\/\/ @ts-expect-error/gm;

/** Wrong data, wrong replies, unknown names: each is an error of the compiler. */
export const types: Row = {
  what: "wrong data, wrong reply, unknown name: lines that must not compile",
  target: "each an error of the compiler, and nothing else",
  async measure(): Promise<Measurement> {
    const root = new URL("../../../", import.meta.url);
    let lines = 0;
    for (const file of FILES) {
      const text = await Deno.readTextFile(new URL(file, root));
      lines += text.match(EXPECTED)?.length ?? 0;
    }
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["check", "--quiet", ...FILES],
      cwd: root,
      env: { NO_COLOR: "1" },
    }).output();
    const found = new TextDecoder().decode(stderr).match(/^TS\d+/gm) ?? [];
    return {
      figure: `${lines} expected errors, ${found.length} others`,
      held: success && lines > 0,
    };
  },
};
