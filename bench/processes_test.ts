import { assert, assertEquals } from "@std/assert";
import {
  cpuOf,
  cpuOfTree,
  parseCpu,
  parseCpuOfAll,
  parseFamily,
  parseResident,
  residentOf,
} from "./processes.ts";

Deno.test("parseCpu() adds user and system time, whatever the name", () => {
  const before = "42 (a (b) c) S 1 42 42 0 -1 4194304 1 2 3 4";
  assertEquals(parseCpu(`${before} 150 25 7 8 20 0`), 1_750);
});

Deno.test("parseCpuOfAll() adds what programs took, and what was stolen", () => {
  const stat =
    "cpu  100 20 3 9999 9999 9999 9999 4 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
  assertEquals(parseCpuOfAll(stat), 1_270);
});

Deno.test("parseFamily() reads the parent, and adds what children took that have ended", () => {
  const stat = "42 (a (b) c) S 7 42 42 0 -1 4194304 1 2 3 4 150 25 30 5 20 0";
  assertEquals(parseFamily(stat), { parent: 7, cpu: 2_100 });
});

Deno.test("cpuOfTree() counts this process and those that it started, ended ones too", async () => {
  const before = cpuOfTree(Deno.pid);
  assert(before >= cpuOf(Deno.pid) - 10);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["eval", "for (let i = 0; i < 1e8; i++) Math.sqrt(i);"],
  });
  const own = cpuOf(Deno.pid);
  assert((await child.output()).success);
  const children = cpuOfTree(Deno.pid) - before - (cpuOf(Deno.pid) - own);
  assert(children >= 20, `${children} ms`);
});

Deno.test("parseResident() reads VmRSS", () => {
  const status = "Name:\tdeno\nVmHWM:\t  9216 kB\nVmRSS:\t  5120 kB\n";
  assertEquals(parseResident(status), 5);
});

Deno.test("cpuOf() and residentOf() read a process", () => {
  assert(cpuOf(Deno.pid) > 0);
  assert(residentOf(Deno.pid) > 10);
});
