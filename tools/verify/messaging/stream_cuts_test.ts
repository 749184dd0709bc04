import { assert } from "@std/assert";
import { ROUTERS } from "../../sim/parts.ts";
import { CUTS, cutTransfer } from "./stream_cuts.ts";

for (const name of ["peer", "hop", "path"]) {
  const part = ROUTERS[name];
  assert(part);
  Deno.test(`Stream over ${name} is whole, or fails at both ends, wherever it is cut`, async () => {
    let complete = 0;
    for (const cut of CUTS) {
      for (let seed = 1; seed <= 2; seed++) {
        const options = { seed, cut, router: part.make, relayed: part.relays };
        if (await cutTransfer(options)) complete++;
      }
    }
    // Some are cut short, and some are not.
    assert(complete > CUTS.length / 4 && complete < 2 * CUTS.length);
  });
}
