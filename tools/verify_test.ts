import { assertEquals, assertStringIncludes } from "@std/assert";
import { ROOT } from "./members.ts";

Deno.test("verify.ts names the areas when it is asked for an unknown one", async () => {
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "tools/verify.ts", "nowhere"],
    cwd: ROOT,
  }).output();
  assertEquals(code, 2);
  const text = new TextDecoder().decode(stderr);
  assertStringIncludes(text, 'Cannot verify "nowhere": the areas are cluster');
});

Deno.test("verify.ts explains itself with --help, and knows no other options", async () => {
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "tools/verify.ts", "--help"],
    cwd: ROOT,
  }).output();
  assertEquals(code, 0);
  assertStringIncludes(new TextDecoder().decode(stdout), "--short");
  const wrong = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "tools/verify.ts", "messaging", "--shrot"],
    cwd: ROOT,
  }).output();
  assertEquals(wrong.code, 2);
  assertStringIncludes(
    new TextDecoder().decode(wrong.stderr),
    "there is no option --shrot",
  );
});
