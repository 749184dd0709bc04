import { assert, assertEquals } from "@std/assert";
import {
  cpuOf,
  cpuOfAll,
  parseCpu,
  parseCpuOfAll,
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

Deno.test("cpuOfAll() is as much as this process has taken, or more", () => {
  const own = cpuOf(Deno.pid);
  assert(cpuOfAll() >= own);
});

Deno.test("parseResident() reads VmRSS", () => {
  const status = "Name:\tdeno\nVmHWM:\t  9216 kB\nVmRSS:\t  5120 kB\n";
  assertEquals(parseResident(status), 5);
});

Deno.test("cpuOf() and residentOf() read a process", () => {
  assert(cpuOf(Deno.pid) > 0);
  assert(residentOf(Deno.pid) > 10);
});
