import { assert } from "@std/assert";
import { cpuOf } from "../../../bench/processes.ts";
import { pause } from "../../../bench/serve.ts";
import { quota, turns } from "./quota.ts";

/** Keeps a processor busy until it is killed. */
function hog(): Deno.ChildProcess {
  return new Deno.Command("sh", { args: ["-c", "while :; do :; done"] })
    .spawn();
}

for (const [name, make] of [["quota", quota], ["turns", turns]] as const) {
  Deno.test({
    name: `${name}() holds a process to its part of a processor`,
    ignore: Deno.build.os !== "linux",
    fn: async () => {
      await using held = await make(0.1);
      const process = hog();
      await held.add(process.pid);
      // In turns, it is held from the end of its first one on.
      while (await held.times() < 1) await pause(10);
      const [start, cpu] = [performance.now(), cpuOf(process.pid)];
      while (await held.times() < 10) await pause(10);
      const part = (cpuOf(process.pid) - cpu) / (performance.now() - start);
      process.kill("SIGKILL");
      await process.status;
      assert(part < 0.5, `${held.means}: ${part}`);
    },
  });
}
