import { assert, assertEquals, assertThrows } from "@std/assert";
import { Networks } from "./networks.ts";

const WHY = await Networks.unavailable();

async function output(command: readonly string[]): Promise<string> {
  const [name = "", ...args] = command;
  const { stdout } = await new Deno.Command(name, { args }).output();
  return new TextDecoder().decode(stdout);
}

Deno.test({
  name: `Networks makes hosts, and removes them${
    WHY === null ? "" : ` (skipped: ${WHY})`
  }`,
  ignore: WHY !== null,
  fn: async () => {
    const before = await output(["ip", "netns", "list"]);
    const networks = await Networks.make([
      { name: "both", networks: ["left", "right"] },
      { name: "one", networks: ["left"], gateway: "both" },
      { name: "other", networks: ["right"] },
    ]);
    assertEquals(networks.of("both"), ["left", "right"]);
    const one = [...networks.on("one"), "ip"];
    const own = networks.address("one", "left");
    assert((await output([...one, "-brief", "address"])).includes(own));
    const link = [...one, "-brief", "link", "show", "dev", "left"];
    assert((await output(link)).includes("LOWER_UP"));
    await networks.plug("one", false);
    assert(!(await output(link)).includes("LOWER_UP"));
    await networks.plug("one", true);
    assert((await output(link)).includes("LOWER_UP"));
    assertThrows(() => networks.address("one", "right"), TypeError);
    const [, , , namespace = ""] = networks.on("one");
    await networks[Symbol.asyncDispose]();
    const after = await output(["ip", "netns", "list"]);
    assert(!before.includes(namespace) && !after.includes(namespace));
  },
});
