/** The period of a quota, in µs. */
const PERIOD = 100_000;

/** How many this program has made. */
let made = 0;

/** Lets processes have a part of a processor only, each by itself. */
export interface Quota extends AsyncDisposable {
  /** By what means, for a person. */
  readonly means: string;
  /** Holds a process to it, from now on. */
  add(pid: number): Promise<void>;
  /** How often processes were held up so far. */
  times(): Promise<number>;
}

/**
 * A quota of the kernel's (control groups, version 1 or 2); where those are not ours to
 * make, processes are stopped and continued in turns, which is the harder on them.
 *
 * End the processes before it is disposed.
 *
 * @param part The part of one processor that each has: 0.1.
 */
export async function quota(part: number): Promise<Quota> {
  const group = await makeGroup(part);
  return group ?? turns(part);
}

/** Stops processes and lets them go on, in turns of a tenth of a second. */
export function turns(part: number): Quota {
  return new Turns(part);
}

/** A file system of control groups. */
interface Mount {
  readonly folder: string;
  readonly version: 1 | 2;
}

/** Tries both versions of control groups. */
async function makeGroup(part: number): Promise<Quota | null> {
  for (const { folder, version } of await mounts()) {
    const groups = new Groups(folder, version, part);
    try {
      await groups.probe();
      return groups;
    } catch {
      // Not ours to make: the next way.
    }
  }
  return null;
}

/** Where control groups with a quota for processors may be. */
async function mounts(): Promise<readonly Mount[]> {
  const lines = (await Deno.readTextFile("/proc/mounts")).split("\n");
  return lines.flatMap((line): Mount[] => {
    const [, folder = "", type, options = ""] = line.split(" ");
    if (type === "cgroup" && options.split(",").includes("cpu")) {
      return [{ folder, version: 1 }];
    }
    return type === "cgroup2" ? [{ folder, version: 2 }] : [];
  });
}

/** A control group for each process. */
class Groups implements Quota {
  readonly means: string;
  readonly #root: string;
  readonly #version: 1 | 2;
  readonly #part: number;
  readonly #groups: string[] = [];

  constructor(folder: string, version: 1 | 2, part: number) {
    this.means = `a quota of control groups, version ${version}`;
    this.#root = `${folder}/devts-${Deno.pid}-${made++}`;
    this.#version = version;
    this.#part = part;
  }

  /** Makes a group and removes it. */
  async probe(): Promise<void> {
    await this.#make(`${this.#root}-probe`);
    await Deno.remove(`${this.#root}-probe`);
  }

  async add(pid: number): Promise<void> {
    const group = `${this.#root}-${pid}`;
    await this.#make(group);
    this.#groups.push(group);
    await Deno.writeTextFile(`${group}/cgroup.procs`, `${pid}`);
  }

  async times(): Promise<number> {
    const stats = await Promise.all(
      this.#groups.map((group) => Deno.readTextFile(`${group}/cpu.stat`)),
    );
    return stats.reduce(
      (sum, text) =>
        sum + Number(/^nr_throttled (\d+)$/m.exec(text)?.[1] ?? NaN),
      0,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const group of this.#groups.splice(0)) {
      await Deno.remove(group).catch(() => {});
    }
  }

  async #make(group: string): Promise<void> {
    await Deno.mkdir(group);
    const share = `${Math.round(this.#part * PERIOD)}`;
    try {
      if (this.#version === 2) {
        await Deno.writeTextFile(`${group}/cpu.max`, `${share} ${PERIOD}`);
        return;
      }
      await Deno.writeTextFile(`${group}/cpu.cfs_period_us`, `${PERIOD}`);
      await Deno.writeTextFile(`${group}/cpu.cfs_quota_us`, share);
    } catch (error) {
      await Deno.remove(group);
      throw error;
    }
  }
}

class Turns implements Quota {
  readonly means = "SIGSTOP and SIGCONT in turns, control groups not allowed";
  readonly #pids = new Set<number>();
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  readonly #timer: ReturnType<typeof setInterval>;
  #times = 0;

  constructor(part: number) {
    const period = PERIOD / 1_000;
    this.#timer = setInterval(() => {
      for (const pid of this.#pids) this.#signal(pid, "SIGCONT");
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        this.#times += this.#pids.size;
        for (const pid of this.#pids) this.#signal(pid, "SIGSTOP");
      }, part * period);
      this.#timers.add(timer);
    }, period);
  }

  add(pid: number): Promise<void> {
    this.#pids.add(pid);
    return Promise.resolve();
  }

  times(): Promise<number> {
    return Promise.resolve(this.#times);
  }

  [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    for (const timer of this.#timers) clearTimeout(timer);
    for (const pid of this.#pids) this.#signal(pid, "SIGCONT");
    return Promise.resolve();
  }

  #signal(pid: number, signal: Deno.Signal): void {
    try {
      Deno.kill(pid, signal);
    } catch {
      this.#pids.delete(pid); // it has ended
    }
  }
}
