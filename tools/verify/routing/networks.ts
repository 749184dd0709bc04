/** A host: a network namespace of its own, with an interface in each of some networks. */
export interface HostPlan {
  /** Its name, unique among the hosts: lower-case letters and digits. */
  readonly name: string;
  /** The networks that it is in, by name. */
  readonly networks: readonly string[];
  /**
   * A host to which it sends what is for other networks. None of them passes anything
   * on, so what is sent there gets no answer; without one, it cannot be sent at all.
   */
  readonly gateway?: string;
}

/** What the names of all namespaces of ours begin with; the id of a process follows. */
const PREFIX = "devts-";

/** How many this program has made. */
let made = 0;

/**
 * Real networks that cannot see each other, and hosts in one or several of them, made of
 * network namespaces: those of the program that makes them, removed when it is through.
 */
export class Networks implements AsyncDisposable {
  readonly #prefix = `${PREFIX}${Deno.pid}-${made++}`;
  readonly #names = new Set<string>();
  readonly #addresses = new Map<string, string>();

  /** Why this machine cannot have them; `null`: it can. */
  static async unavailable(): Promise<string | null> {
    const name = `${PREFIX}${Deno.pid}-probe${made++}`;
    try {
      await ip(["netns", "add", name]);
      await ip(["netns", "delete", name]);
      return null;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return `network namespaces are not allowed here: ${reason}`;
    }
  }

  /** Makes networks and hosts. The namespaces of programs that were killed are removed. */
  static async make(hosts: readonly HostPlan[]): Promise<Networks> {
    await sweep();
    const networks = new Networks();
    try {
      await networks.#make(hosts);
    } catch (error) {
      await networks[Symbol.asyncDispose]();
      throw error;
    }
    return networks;
  }

  /** The address of a host in a network: `10.77.1.2`. */
  address(host: string, network: string): string {
    const address = this.#addresses.get(`${host} ${network}`);
    if (address !== undefined) return address;
    throw new TypeError(`The host "${host}" is not in network "${network}"`);
  }

  /** The networks that a host is in. */
  of(host: string): string[] {
    return [...this.#addresses.keys()].map((key) => key.split(" "))
      .filter(([name]) => name === host).map(([, network = ""]) => network);
  }

  /** The command that runs another one on a host. */
  on(host: string): readonly string[] {
    return ["ip", "netns", "exec", this.#namespace(host)];
  }

  /** Takes a host off all its networks, as by a pulled plug, or puts it back. */
  async plug(host: string, isIn: boolean): Promise<void> {
    const state = isIn ? "up" : "down";
    const lines = this.of(host).map((network) =>
      `link set ${network}-${host} ${state}`
    );
    await batch(lines, this.#namespace(SWITCHES));
  }

  /** Removes all of it; what still runs there loses its networks. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of this.#names) {
      await ip(["netns", "delete", name]).catch(() => {});
    }
    this.#names.clear();
  }

  async #make(hosts: readonly HostPlan[]): Promise<void> {
    const ids = [...new Set(hosts.flatMap(({ networks }) => networks))];
    const names = [SWITCHES, ...hosts.map(({ name }) => name)];
    for (const name of names) this.#names.add(this.#namespace(name));
    await batch(names.map((name) => `netns add ${this.#namespace(name)}`));
    await batch(
      ids.flatMap((id) => [`link add ${id} type bridge`, `link set ${id} up`]),
      this.#namespace(SWITCHES),
    );
    for (const [at, { name, networks }] of hosts.entries()) {
      for (const network of networks) {
        const subnet = ids.indexOf(network) + 1;
        const address = `10.77.${subnet}.${at + 1}`;
        this.#addresses.set(`${name} ${network}`, address);
      }
    }
    for (const host of hosts) await this.#connect(host);
  }

  async #connect({ name, networks, gateway }: HostPlan): Promise<void> {
    const own = this.#namespace(name);
    const switches = this.#namespace(SWITCHES);
    await batch(
      networks.map((network) =>
        `link add ${network} netns ${own} type veth peer name ${network}-${name} netns ${switches}`
      ),
    );
    await batch(
      networks.flatMap((network) => [
        `link set ${network}-${name} master ${network}`,
        `link set ${network}-${name} up`,
      ]),
      switches,
    );
    await batch([
      "link set lo up",
      ...networks.flatMap((network) => [
        `address add ${this.address(name, network)}/24 dev ${network}`,
        `link set ${network} up`,
      ]),
      ...networks.slice(0, gateway === undefined ? 0 : 1).map((network) =>
        `route add default via ${this.address(gateway ?? "", network)}`
      ),
    ], own);
  }

  #namespace(host: string): string {
    return `${this.#prefix}-${host}`;
  }
}

/** The namespace that holds a bridge for each network: its switch. */
const SWITCHES = "switches";

/** Removes the namespaces of programs that ended without doing so. */
async function sweep(): Promise<void> {
  const list = await ip(["netns", "list"]);
  for (const [, name = "", pid] of list.matchAll(/^(devts-(\d+)-\S+)/gm)) {
    if (isRunning(Number(pid))) continue;
    await ip(["netns", "delete", name]).catch(() => {});
  }
}

function isRunning(pid: number): boolean {
  try {
    Deno.statSync(`/proc/${pid}`);
    return true;
  } catch {
    return false;
  }
}

/** Runs lines of `ip`, in a namespace. */
async function batch(
  lines: readonly string[],
  namespace?: string,
): Promise<void> {
  const where = namespace === undefined ? [] : ["-n", namespace];
  await ip(
    [...where, "-batch", "-"],
    lines.map((line) => `${line}\n`).join(""),
  );
}

async function ip(args: readonly string[], input = ""): Promise<string> {
  const process = new Deno.Command("ip", {
    args: [...args],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = process.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input)).catch(() => {});
  await writer.close().catch(() => {});
  const { success, stdout, stderr } = await process.output();
  const decoder = new TextDecoder();
  if (success) return decoder.decode(stdout);
  throw new Error(
    `\`ip ${args.join(" ")}\` failed: ${decoder.decode(stderr).trim()}`,
  );
}
