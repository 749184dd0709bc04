/**
 * A cluster of four processes in ten seconds: it starts them, uses them, kills one,
 * brings it back, and checks at each step that what should happen does.
 *
 * ```sh
 * deno task example         # or: deno run --allow-net=127.0.0.1 --allow-run=deno --allow-read=/tmp --allow-write=/tmp examples/demo.ts
 * deno task example --keep  # leaves the cluster running for you to join
 * ```
 *
 * @module
 */
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import type { Arguments, Usage } from "./_arguments.ts";
import { type Process, start } from "./_process.ts";
import { interrupted, run } from "./_program.ts";

/** How long all steps together may take, in ms. */
const DEADLINE = 12_500;

/** What each node may do: talk on this machine. */
const NET = "--allow-net=127.0.0.1";

const COLOURS = { web: 36, web2: 34, value: 33, writer: 35, demo: 32 } as const;
type Label = keyof typeof COLOURS;

const useColours = Deno.stdout.isTerminal() && !Deno.noColor;

function print(label: Label, line: string): void {
  const name = `[${label}]`.padEnd(8);
  console.log(
    useColours
      ? `\x1b[${COLOURS[label]}m${name}\x1b[39m ${line}`
      : `${name} ${line}`,
  );
}

/** The processes of the demo. None of them outlives it. */
class Cluster implements AsyncDisposable {
  readonly #processes = new Map<Label, Process>();
  readonly #deadline = AbortSignal.timeout(DEADLINE);
  readonly #abort = new AbortController();

  /** Starts a node; its label is also its id. What it may do beyond is in `more`. */
  start(
    label: Label,
    script: string,
    args: readonly string[] = [],
    more: readonly string[] = [],
  ): Process {
    this.#abort.signal.throwIfAborted();
    const process = start(script, [...args, "--id", label], {
      permissions: [NET, ...more],
      print: (line) => print(label, line),
    });
    this.#processes.set(label, process);
    return process;
  }

  /** Waits for a line of a node, up to the deadline. */
  async line(
    label: Label,
    pattern: RegExp,
    since = 0,
  ): Promise<RegExpExecArray> {
    const signal = AbortSignal.any([this.#deadline, this.#abort.signal]);
    try {
      return await this.#of(label).line(pattern, { since, signal });
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : cause;
      throw new Error(`[${label}] did not print ${pattern}: ${reason}`, {
        cause,
      });
    }
  }

  /** Where the next line of a node will stand. */
  end(label: Label): number {
    return this.#of(label).lines.length;
  }

  kill(label: Label, signal: Deno.Signal): Promise<Deno.CommandStatus> {
    const process = this.#of(label);
    process.kill(signal);
    return process.status;
  }

  /** Ends whatever is waited for. */
  abort(reason: Error): void {
    this.#abort.abort(reason);
  }

  /** Asks all nodes to end, so that they say goodbye, and insists after a while. */
  async [Symbol.asyncDispose](): Promise<void> {
    const processes = [...this.#processes.values()];
    for (const process of processes) process.kill("SIGTERM");
    const insist = setTimeout(() => {
      for (const process of processes) process.kill("SIGKILL");
    }, 2_000);
    await Promise.all(processes.map(({ status }) => status));
    clearTimeout(insist);
  }

  #of(label: Label): Process {
    const process = this.#processes.get(label);
    if (process === undefined) {
      throw new Error(`There is no process [${label}]`);
    }
    return process;
  }
}

const CLUSTER_PORT = /cluster port (\d+)/;
const HOST_PORT = /host port (\d+)/;

async function play(cluster: Cluster, folder: string): Promise<string> {
  const output = `${folder}/valueoutput.txt`;
  print(
    "demo",
    "A web node starts the cluster; three others join it at its cluster port.",
  );
  cluster.start("web", "web.ts");
  const port = await numberIn(cluster.line("web", CLUSTER_PORT));
  const web = await numberIn(cluster.line("web", HOST_PORT));
  cluster.start("value", "value_node.ts", [`${port}`, "w"]);
  cluster.start("writer", "value_writer.ts", [`${port}`, "--output", output], [
    ...[`--allow-read=${folder}`, `--allow-write=${folder}`],
  ]);
  cluster.start("web2", "web.ts", [`${port}`]);
  const web2 = await numberIn(cluster.line("web2", HOST_PORT));
  await Promise.all(ALL.map((label) => cluster.line(label, /\(4 nodes\)/)));

  print(
    "demo",
    "GET / sends an event to the node itself, and its reply to all others.",
  );
  expect(await get(web, "/"), "test_event says hello");
  await cluster.line(
    "web2",
    /test_broadcast from "web": "test_event says hello"/,
  );

  print(
    "demo",
    "A value that is set on one web node can be read on the other.",
  );
  await get(web, "/set/colour/blue");
  await cluster.line("web2", /store: \["colour","blue"\]/);
  expect(await get(web2, "/store"), '{"colour":"blue"}');

  print("demo", "One node is killed. The others notice,");
  await cluster.kill("web2", "SIGKILL");
  const others = ALL.filter((label) => label !== "web2");
  await Promise.all(
    others.map((label) => cluster.line(label, /"web2" is gone: failed/)),
  );

  print(
    "demo",
    "and know it again when it is back. It fetches what it had lost.",
  );
  const ends = new Map(others.map((label) => [label, cluster.end(label)]));
  cluster.start("web2", "web.ts", [`${port}`]);
  const back = await numberIn(cluster.line("web2", HOST_PORT));
  await Promise.all(
    others.map((label) =>
      cluster.line(label, /"web2" joined/, ends.get(label))
    ),
  );
  expect(await get(back, "/store"), '{"colour":"blue"}');

  print("demo", "Meanwhile another node has written down each value.");
  await compare(cluster, output);
  return `${port}`;
}

const ALL = ["web", "web2", "value", "writer"] as const;

async function numberIn(match: Promise<RegExpExecArray>): Promise<number> {
  return Number((await match)[1]);
}

async function get(port: number, path: string): Promise<string> {
  const url = `http://127.0.0.1:${port}${path}`;
  const response = await fetch(url, { signal: AbortSignal.timeout(5_000) });
  const text = await response.text();
  if (!response.ok) {
    throw new Error(`GET ${url} was answered with ${response.status}: ${text}`);
  }
  print("demo", `GET ${url} → ${text}`);
  return text;
}

/** The value goes on rising, so the file is read as soon as one is known to be in it. */
async function compare(cluster: Cluster, output: string): Promise<void> {
  for (;;) {
    const since = cluster.end("writer");
    const [, value] = await cluster.line(
      "value",
      /^value: (\d+)/,
      cluster.end("value"),
    );
    await cluster.line("writer", new RegExp(`^wrote ${value} `), since);
    const written = await Deno.readTextFile(output);
    if (Number(written) > Number(value)) continue; // a moment too late: the next one is there
    print("demo", `The value is ${value}; valueoutput.txt says ${written}.`);
    return expect(written, `${value}`);
  }
}

function expect(actual: string, expected: string): void {
  if (actual !== expected) {
    throw new Error(`Expected ${expected}, but got ${actual}`);
  }
}

function printInvitation(port: string): void {
  const folder = relative(
    Deno.cwd(),
    fileURLToPath(new URL(".", import.meta.url)),
  );
  print(
    "demo",
    "The cluster goes on until you press Ctrl-C. Join it from another terminal:",
  );
  for (const script of ["web.ts", "value_node.ts", "chat.ts"]) {
    const path = folder === "" ? script : `${folder}/${script}`;
    print("demo", `  deno run ${NET} ${path} ${port}`);
  }
}

const USAGE: Usage = {
  synopsis: "demo.ts",
  permissions:
    "--allow-net=127.0.0.1 --allow-run=deno --allow-read=/tmp --allow-write=/tmp",
  about:
    "Starts a cluster of four processes, uses it, kills a node, and checks what happens.",
  positional: 0,
  options: { keep: { help: "leave the cluster running until Ctrl-C" } },
};

async function main(args: Arguments): Promise<void> {
  const stop = interrupted();
  const folder = await Deno.makeTempDir({ prefix: "devts-" });
  try {
    await using cluster = new Cluster();
    stop.then(() => cluster.abort(new Error("The demo was interrupted")));
    const port = await play(cluster, folder);
    if (!args.flags.has("keep")) return print("demo", "All went well.");
    printInvitation(port);
    await stop;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

if (import.meta.main) await run(USAGE, main);
