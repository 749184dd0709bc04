/** The CPU time that a process has taken, in ms; it advances in steps of 10 ms. */
export function cpuOf(pid: number): number {
  return parseCpu(Deno.readTextFileSync(`/proc/${pid}/stat`));
}

/** The memory of a process that is resident, in MiB. */
export function residentOf(pid: number): number {
  return parseResident(Deno.readTextFileSync(`/proc/${pid}/status`));
}

/** The CPU time that all programs have taken, and what the host took from this machine, in ms. */
export function cpuOfAll(): number {
  return parseCpuOfAll(Deno.readTextFileSync("/proc/stat"));
}

/** User, nice, system and stolen time, in ms, of `/proc/stat`. */
export function parseCpuOfAll(stat: string): number {
  const [, line = ""] = /^cpu +(.*)$/m.exec(stat) ?? [];
  const fields = line.split(" ");
  const times = [0, 1, 2, 7].map((at) => Number(fields[at]));
  return 10 * times.reduce((sum, time) => sum + time, 0);
}

/** User and system time, in ms, of `/proc/PID/stat`. */
export function parseCpu(stat: string): number {
  // The name of the program, the second field, is in parentheses and may hold both.
  const fields = stat.slice(stat.lastIndexOf(") ") + 2).split(" ");
  const [user, system] = fields.slice(11, 13);
  return 10 * (Number(user) + Number(system));
}

/** `VmRSS`, in MiB, of `/proc/PID/status`. */
export function parseResident(status: string): number {
  const [, kibibytes] = /^VmRSS:\s+(\d+) kB$/m.exec(status) ?? [];
  return Number(kibibytes) / 1_024;
}
