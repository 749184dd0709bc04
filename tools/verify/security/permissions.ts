import { installServer } from "../../../bench/peers/install.ts";
import { startBroker } from "../../../bench/peers/broker.ts";
import { parseConfig, publishedMembers, readMember } from "../../members.ts";
import type { Measurement, MeasureOptions, Row } from "../runner.ts";
import { createIdentityFile, signIdentity } from "@devts/devts/identity";
import { createSecret, secretText } from "@devts/protocol/secret";
import { FEATURES } from "./features.ts";
import { Permitted } from "./permitted.ts";

const ROOT = new URL("../../../", import.meta.url);
const DOCUMENT = new URL("docs/security.md", ROOT);
const PROGRAM = new URL("./features.ts", import.meta.url);
/** What others bring into a browser is no program. */
const PAGE = "browser_page.ts";
/** So many programs are tried at the same time. */
const PARALLEL = 3;
/** They load modules of the checkout as they run. */
const IN_CHECKOUT = ["browser.ts", "kv.ts", "router_alone.ts"];
/** What a program says that lacks a permission. */
const REFUSED = /Requires \w+ access to|NotCapable|--unstable-net/;

/** One program of an example, and how to see that it works. */
interface Step {
  /** Its file, where it is of another example. */
  readonly script?: string;
  /** Which command of its documentation: the first one has the number 0. */
  readonly command?: number;
  /**
   * `{0}` is what the first program said in the group of its `says`, `{data}` a folder of
   * its own below the one it starts in.
   */
  readonly args?: readonly string[];
  /** What it says once it does what it is for. */
  readonly says: RegExp;
  /** What it says once the programs after it have started, where that is what it is for. */
  readonly later?: RegExp;
}

const CLUSTER_PORT = /\(cluster port (\d+)\)/;
const JOINED = /\(2 nodes\)/;
const TWO: readonly Step[] = [
  { says: CLUSTER_PORT },
  { command: 1, args: ["{0}"], says: JOINED },
];

/** Each example, and its programs in the order in which they start. */
const EXAMPLES: Readonly<Record<string, readonly Step[]>> = {
  "browser.ts": [{ says: /open http/ }],
  "chat.ts": TWO,
  "combined.ts": [
    { script: "value_node.ts", says: CLUSTER_PORT },
    { script: "value_node.ts", args: ["{0}", "w"], says: JOINED },
    { args: ["{0}"], says: /wrote \d+ to/ },
  ],
  "demo.ts": [{ says: /All went well/ }],
  "jobs.ts": [
    { says: CLUSTER_PORT, later: /^job \d+ was done by/m },
    { command: 1, args: ["{0}", "--work", "10"], says: /did job \d+/ },
  ],
  "kv.ts": [
    { args: ["--replicas", "2", "--data", "{data}"], says: CLUSTER_PORT },
    {
      ...{ command: 1, args: ["{0}", "--replicas", "2", "--data", "{data}"] },
      says: JOINED,
    },
  ],
  "nats.ts": [{ args: ["{nats}"], says: /host port/ }],
  "own_codec.ts": TWO,
  "own_plugin.ts": [
    { command: 1, args: ["--port", "0"], says: CLUSTER_PORT },
    { args: ["{0}"], says: JOINED },
  ],
  "own_router.ts": TWO,
  "own_transport.ts": TWO,
  "router_alone.ts": [{ says: /link between ada and bob ends/ }],
  "router_sockets.ts": [
    { args: ["ada"], says: /listens on port (\d+)/ },
    { command: 1, args: ["bob", "{0}"], says: /ada is here/ },
  ],
  "transfer.ts": [
    {
      ...{ args: ["--to", "downloads"], says: CLUSTER_PORT },
      later: /took movie/,
    },
    {
      ...{ command: 1, args: ["{0}", "--file", "movie.mkv"] },
      says: /sent movie/,
    },
  ],
  "value_node.ts": [
    { says: CLUSTER_PORT },
    { command: 1, args: ["{0}", "w"], says: JOINED },
  ],
  "value_writer.ts": [
    { script: "value_node.ts", says: CLUSTER_PORT },
    { script: "value_node.ts", args: ["{0}", "w"], says: JOINED },
    { args: ["{0}"], says: /wrote \d+ to/ },
  ],
  "web.ts": TWO,
};

/** One start of programs, the last of which may lack a permission. */
interface Trial {
  /** For a person: `chat.ts without --allow-net`. */
  readonly name: string;
  /** Works, or says which permission is missing. */
  readonly expect: "works" | "refused";
  /** Resolves to what is wrong; null: nothing. */
  run(nats: string): Promise<string | null>;
}

/** Programs that may do what their documentation names, and no more. */
export const permissions: Row = {
  what: "permissions of the examples and of each feature",
  target:
    "works with those that the documentation names and no others; with each one of them left out, it says which",
  measure,
};

async function measure({ progress }: MeasureOptions): Promise<Measurement> {
  await using processes = new AsyncDisposableStack();
  const { ready: [, port = ""] } = await startBroker(processes, {
    command: await installServer("nats-server"),
    args: ["-a", "127.0.0.1", "-p", "-1"],
    log: "stderr",
    ready: /connections on 127\.0\.0\.1:(\d+)[^]*Server is ready/,
  });
  const config = await outsideConfig(processes);
  const trials = [...await examples(), ...await features(config)];
  const faults: string[] = [];
  const left = trials.values();
  let done = 0;
  await Promise.all(Array.from({ length: PARALLEL }, async () => {
    for (const trial of left) {
      const fault = await trial.run(`nats://127.0.0.1:${port}`);
      if (fault !== null) faults.push(`${trial.name}: ${fault}`);
      if (++done % 10 === 0) progress(`${done} of ${trials.length}`);
    }
  }));
  const count = (what: Trial["expect"]): number =>
    trials.filter(({ expect }) => expect === what).length;
  const figure = `${count("works")} started with exactly those, ` +
    `${count("refused")} with one less` +
    (faults.length > 0 ? `; ${faults.join("; ")}` : "");
  return { figure, held: faults.length === 0 };
}

// -- Examples --

async function examples(): Promise<Trial[]> {
  const trials: Trial[] = [];
  for await (const { name } of Deno.readDir(new URL("examples/", ROOT))) {
    const isExample = /^[a-z].*\.ts$/.test(name) &&
      !name.endsWith("_test.ts") && name !== PAGE;
    if (isExample && !(name in EXAMPLES)) {
      throw new Error(`${name} is not tried with the permissions it names`);
    }
  }
  for (const [script, steps] of Object.entries(EXAMPLES)) {
    const programs = await Promise.all(steps.map(async (step) => {
      const flags = (await commandsOf(step.script ?? script))
        .at(step.command ?? 0);
      if (flags !== undefined) return { step, flags };
      throw new Error(`${script} does not document how to start it`);
    }));
    const run = (flags: readonly string[], at: number) => (nats: string) =>
      play(script, nats, programs, { at, flags });
    const tried = new Set<string>();
    for (const [i, { step, flags }] of programs.entries()) {
      if (i < programs.length - 1 && step.later === undefined) continue;
      trials.push({ name: script, expect: "works", run: run(flags, i) });
    }
    for (const [i, { step, flags }] of programs.entries()) {
      if (step.script !== undefined) continue;
      for (const { without, rest } of lessThan(flags)) {
        const name = `${script} without ${without}`;
        if (tried.has(name)) continue;
        tried.add(name);
        trials.push({ name, expect: "refused", run: run(rest, i) });
      }
    }
  }
  return trials;
}

/** The flags of each command in the documentation of an example. */
async function commandsOf(script: string): Promise<readonly string[][]> {
  const text = await Deno.readTextFile(new URL(`examples/${script}`, ROOT));
  const [documentation = ""] = text.split("*/", 1);
  const command = new RegExp(`deno run (.*?) ?examples/${script}`, "g");
  return [...documentation.matchAll(command)]
    .map(([, flags = ""]) => flags.split(" ").filter((flag) => flag !== ""));
}

/** Starts programs one after the other; the one at an index has flags that are tried. */
async function play(
  script: string,
  nats: string,
  programs: readonly { step: Step; flags: readonly string[] }[],
  tried: { readonly at: number; readonly flags: readonly string[] },
): Promise<string | null> {
  await using stack = new AsyncDisposableStack();
  const folder = IN_CHECKOUT.includes(script)
    ? ROOT.pathname
    : await makeFolder(stack);
  const data = await makeDataFolder(stack, folder);
  let first = "";
  let watched: (() => Promise<string | null>) | undefined;
  for (const [i, { step, flags }] of programs.entries()) {
    const args = step.args ?? [];
    const program = new Permitted(
      new URL(`examples/${step.script ?? script}`, ROOT),
      i === tried.at ? tried.flags : flags,
      args.map((arg) =>
        arg.replace("{0}", first).replace("{nats}", nats)
          .replace("{data}", `${data}/${i}`)
      ),
      folder,
    );
    stack.use(program);
    if (i === tried.at) {
      const says = step.later ?? step.says;
      watched = () => verdictOf(program, says, tried.flags, flags);
      if (step.later === undefined) break;
    }
    const match = await program.says(step.says, REFUSED);
    if (match === null || REFUSED.test(match[0])) {
      if (i >= tried.at) break;
      return `a program beside it said: ${program.said.slice(-300)}`;
    }
    if (i === 0) first = match[1] ?? "";
  }
  return await watched?.() ?? null;
}

async function verdictOf(
  program: Permitted,
  says: RegExp,
  tried: readonly string[],
  named: readonly string[],
): Promise<string | null> {
  const [said] = await program.says(says, REFUSED) ?? [""];
  const isRefused = REFUSED.test(said);
  const works = said !== "" && !isRefused;
  const isComplete = tried.join() === named.join();
  if (isComplete ? works : isRefused) return null;
  return works ? "it works" : `it said: ${program.said.slice(-300)}`;
}

/** Hidden, as it may stand in the checkout for a while. */
async function makeDataFolder(
  stack: AsyncDisposableStack,
  dir: string,
): Promise<string> {
  const folder = await Deno.makeTempDir({ dir, prefix: ".data-" });
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  return folder;
}

async function makeFolder(stack: AsyncDisposableStack): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: "devts-permissions-" });
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  const text = `${secretText(createSecret())}\n`;
  await Deno.mkdir(`${folder}/downloads`);
  await Deno.writeTextFile(`${folder}/movie.mkv`, "frames");
  await Deno.writeTextFile(`${folder}/secret`, text, { mode: 0o600 });
  const authority = await createIdentityFile(`${folder}/authority.json`);
  const { key } = await createIdentityFile(`${folder}/node.json`);
  const from = Date.now();
  const of = { cluster: "demo", key, from, until: from + 86_400_000 };
  const granted = await signIdentity(authority, of);
  await Deno.writeTextFile(`${folder}/node.grant.json`, granted);
  return folder;
}

// -- Features --

/** What `docs/security.md` says of each. */
async function features(config: readonly string[]): Promise<Trial[]> {
  const text = await Deno.readTextFile(DOCUMENT);
  const [, table = ""] = /## Permissions[^]*?\n(\|[^]*?)\n\n/.exec(text) ?? [];
  const rows = table.split("\n").slice(2).map((line) => {
    const [, feature = "", flags = ""] = line.split("|");
    return [
      feature.trim(),
      flags.replaceAll("`", " ").split(" ").filter((flag) =>
        flag.startsWith("--")
      ),
    ] as const;
  });
  const listed = new Map(rows);
  const names = new Set([...Object.keys(FEATURES), ...listed.keys()]);
  return [...names].flatMap((feature): Trial[] => {
    const flags = listed.get(feature);
    if (flags === undefined || FEATURES[feature] === undefined) {
      throw new Error(`"${feature}" is not both in the document and tried`);
    }
    const run = (tried: readonly string[]) => async (nats: string) => {
      await using stack = new AsyncDisposableStack();
      const program = new Permitted(
        PROGRAM,
        [...config, ...tried.map(withModules)],
        [feature, nats],
        await makeFolder(stack),
      );
      stack.use(program);
      return await verdictOf(program, /it works/, tried, flags);
    };
    return [
      { name: feature, expect: "works", run: run(flags) },
      ...lessThan(flags).map(({ without, rest }): Trial => ({
        name: `${feature} without ${without}`,
        ...{ expect: "refused", run: run(rest) },
      })),
    ];
  });
}

/** Modules of threads are loaded as a program runs: in a checkout, from files. */
function withModules(flag: string): string {
  return flag.startsWith("--allow-read=data.db")
    ? `${flag},${new URL("node", ROOT).pathname}`
    : flag;
}

/** Flags that give a program the packages of the checkout, and no setting of it. */
async function outsideConfig(
  stack: AsyncDisposableStack,
): Promise<readonly string[]> {
  const folder = await Deno.makeTempDir({ prefix: "devts-permissions-" });
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  const own = parseConfig(await Deno.readTextFile(new URL("deno.json", ROOT)));
  const standard = ["assert", "cli", "log", "msgpack"].map((name) =>
    readMember(new URL(`std/${name}/`, ROOT))
  );
  const members = [
    ...await publishedMembers(),
    ...await Promise.all(standard),
  ];
  const imports: Record<string, string> = { ...own.imports ?? {} };
  for (const { folder, name, exports } of members) {
    for (const [entry, file] of exports) {
      imports[`${name}${entry.slice(1)}`] = new URL(file, folder).href;
    }
  }
  const { minimumDependencyAge, nodeModulesDir } = own;
  const config = { imports, minimumDependencyAge, nodeModulesDir };
  await Deno.writeTextFile(`${folder}/deno.json`, JSON.stringify(config));
  const lock = `${folder}/deno.lock`;
  await Deno.copyFile(new URL("deno.lock", ROOT), lock);
  return ["--no-check", `--config=${folder}/deno.json`, `--lock=${lock}`];
}

/** The flags with one permission less, each of them once. */
function lessThan(
  flags: readonly string[],
): { without: string; rest: readonly string[] }[] {
  return flags.flatMap((flag, i) => {
    const others = (...instead: string[]): readonly string[] =>
      flags.toSpliced(i, 1, ...instead);
    const [name = "", list = ""] = flag.split("=");
    const items = list.split(",");
    if (items.length < 2) return [{ without: flag, rest: others() }];
    return items.map((item) => ({
      without: `${name}=${item}`,
      rest: others(`${name}=${items.filter((other) => other !== item)}`),
    }));
  });
}
