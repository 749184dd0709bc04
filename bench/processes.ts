/** The CPU time that a process has taken, in ms; it advances in steps of 10 ms. */
export function cpuOf(pid: number): number {
  return parseCpu(Deno.readTextFileSync(`/proc/${pid}/stat`));
}

/** The memory of a process that is resident, in MiB. */
export function residentOf(pid: number): number {
  return parseResident(Deno.readTextFileSync(`/proc/${pid}/status`));
}

/**
 * What other programs take of the processors, and the host of this machine: all but this
 * process and those that it started.
 */
export class Others {
  readonly #start = performance.now();
  readonly #before = cpuOfOthers();

  /** How much of a processor they took since it was made: 0.5 is half of one. */
  get share(): number {
    return (cpuOfOthers() - this.#before) / (performance.now() - this.#start);
  }
}

function cpuOfOthers(): number {
  const all = parseCpuOfAll(Deno.readTextFileSync("/proc/stat"));
  return all - cpuOfTree(Deno.pid);
}

/** The CPU time of a process and of all that it started, those that have ended too, in ms. */
export function cpuOfTree(root: number): number {
  const times = new Map<number, { readonly parent: number; cpu: number }>();
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = Deno.readTextFileSync(`/proc/${name}/stat`);
      times.set(Number(name), parseFamily(stat));
    } catch {
      // It has ended meanwhile.
    }
  }
  let sum = 0;
  for (const [pid, { cpu }] of times) {
    let at: number | undefined = pid;
    while (at !== undefined && at !== root) at = times.get(at)?.parent;
    if (at === root) sum += cpu;
  }
  return sum;
}

/** Of `/proc/PID/stat`: its parent, and its CPU time with that of its ended children, in ms. */
export function parseFamily(
  stat: string,
): { readonly parent: number; readonly cpu: number } {
  const fields = fieldsOf(stat);
  const times = fields.slice(11, 15).map(Number);
  return {
    parent: Number(fields[1]),
    cpu: 10 * times.reduce((sum, time) => sum + time, 0),
  };
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
  const [user, system] = fieldsOf(stat).slice(11, 13);
  return 10 * (Number(user) + Number(system));
}

/** The fields behind the name, which is in parentheses and may hold blanks and both of these. */
function fieldsOf(stat: string): string[] {
  return stat.slice(stat.lastIndexOf(") ") + 2).split(" ");
}

/** `VmRSS`, in MiB, of `/proc/PID/status`. */
export function parseResident(status: string): number {
  const [, kibibytes] = /^VmRSS:\s+(\d+) kB$/m.exec(status) ?? [];
  return Number(kibibytes) / 1_024;
}
