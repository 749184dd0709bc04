import { ROOT } from "../../members.ts";
import type { Row } from "../runner.ts";

const TEST = "node/state/laws_test.ts";

/** The laws of replicated data, by the tests that state them, with more cases. */
export const laws: Row = {
  what:
    "laws of replicated data, and random writes whose messages are lost, doubled and reordered",
  target: "100,000 cases of each kind, 0 failures",
  async measure({ short, progress }) {
    const cases = short ? 1_000 : 100_000;
    progress(`${cases} cases of each kind`);
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["test", "-A", "--no-check", TEST, "--", `--cases=${cases}`],
      cwd: ROOT,
      env: { NO_COLOR: "1" },
    }).output();
    const output = new TextDecoder().decode(stdout);
    const summary = /^(ok|FAILED) \| (\d+) passed.* \| (\d+) failed/m
      .exec(output);
    if (!summary) throw new Error(new TextDecoder().decode(stderr));
    const [, , passed, failed] = summary;
    // What the first one needs to fail again.
    const [replay = ""] = /\{ seed: [^}]*\}/.exec(output) ?? [];
    return {
      figure: `${cases} cases of each of ${
        Number(passed) + Number(failed)
      } kinds, ${failed} kinds failed${replay && `: ${replay}`}`,
      held: failed === "0" && Number(passed) > 0,
    };
  },
};
