import {
  type Fault,
  InvariantError,
  type Scenario,
  type ScenarioRun,
  simulate as simulateAll,
  type SimulationReport as AnyReport,
  type VirtualMachine,
  type VirtualNetwork,
} from "@devts/routing/testing";
import { ConnectionError } from "@devts/transport";
import { Node } from "./node.ts";
import { Disk } from "./_sim_disk.ts";
import {
  type History,
  type Operation,
  Recorder,
  type Running,
} from "./_sim_history.ts";
import { checkHistory, converges, HistoryError } from "./_sim_oracles.ts";
import { simulatedParts } from "./_sim_parts.ts";
import {
  type Action,
  type Ask,
  scriptOf,
  type Trouble,
} from "./_sim_script.ts";
import { WriteError } from "./state/errors.ts";
import type { Storage } from "./storage/types.ts";
import type { AnyEvents, NodeParts } from "./types.ts";

/** In which all nodes have met, in ms. */
const MEETING = 60_000;
/** How often the nodes are compared once all is well again, in ms. */
const EVERY = 100;
/** In which what clients asked for has returned: a write waits so long for replicas, in ms. */
const RETURN = 11_000;

/** What starts on a machine of a simulated run; one for each life of it. */
export interface Program {
  /** The name of the machine, and the id of its node. */
  readonly id: string;
  /** The names of all machines. */
  readonly ids: readonly string[];
  /**
   * Its disk: keeps what was committed when the program is killed, and loses, as disks
   * do, what was not.
   */
  readonly storage: Storage;
  /** What its node is made of, for `new Node(parts)` of one's own class. */
  readonly parts: NodeParts;
  /**
   * Makes its node, as `createNode` does, with the time, the chance and the network of
   * the simulation. It listens and joins once {@linkcode StoreScenario.start} has
   * returned.
   *
   * @param overrides Replace parts: another router, another membership, metadata.
   */
  createNode<E extends object = AnyEvents>(
    overrides?: Partial<NodeParts>,
  ): Node<E>;
  /** Says which node is to listen and to join, where `createNode` did not make it. */
  use(node: Node<AnyEvents>): void;
}

/** A store to try, and how to use it. */
export interface StoreScenario<S> {
  /** Starts it: at the beginning of each life of a machine. Clients wait for it. */
  start(program: Program): S | Promise<S>;
  /**
   * Writes. When it resolves, the write is acknowledged: the store says that it will
   * last. When it rejects, nobody knows; when it throws, or rejects with a
   * `WriteError` that says so, nothing was written.
   */
  write(store: S, key: string, value: string): unknown;
  /** Reads; `undefined`: there is nothing. */
  read(
    store: S,
    key: string,
  ): string | undefined | Promise<string | undefined>;
  /**
   * Deletes; as `write`.
   *
   * @default {nothing is deleted}
   */
  delete?(store: S, key: string): unknown;
  /**
   * Where the last write of a key stands in the order of the store: a text that is
   * greater for a later one. Asked for before and after each operation.
   *
   * @default {what had returned before another was asked for is before it}
   */
  version?(store: S, key: string): string | undefined;
  /**
   * Equal where two nodes hold the same.
   *
   * @default {what they read for each key}
   */
  hash?(store: S): string;
  /**
   * Holds what clients saw against what the store promises: it throws where it should
   * not have been so.
   *
   * @default {checkHistory}
   */
  check?(history: History, stores: ReadonlyMap<string, S>): void;
}

/** Options of {@linkcode simulate}. */
export interface SimulateOptions {
  /**
   * How many nodes: 2 to 26.
   *
   * @default {3}
   */
  readonly nodes?: number;
  /**
   * Runs this seed and no other: a failure that was printed, once more.
   *
   * @default {all of `seeds`, from 1 on}
   */
  readonly seed?: number;
  /**
   * How many seeds to run.
   *
   * @default {100}
   */
  readonly seeds?: number;
  /**
   * What may go wrong.
   *
   * @default {everything}
   */
  readonly troubles?: readonly Trouble[];
  /**
   * How many of the nodes may crash, each any number of times.
   *
   * @default {fewer than half of them}
   */
  readonly crashes?: number;
  /**
   * By how much clocks are set ahead or back at most, in ms. At 30,000, two clocks are
   * up to a minute apart, where replicated state begins to refuse writes.
   *
   * @default {29_000}
   */
  readonly skew?: number;
  /**
   * How often clients ask for something.
   *
   * @default {60}
   */
  readonly operations?: number;
  /**
   * For how many keys.
   *
   * @default {16}
   */
  readonly keys?: number;
  /**
   * How long they ask and things go wrong, in virtual ms.
   *
   * @default {20_000}
   */
  readonly length?: number;
  /**
   * How long it may take, once all is well again, until all nodes hold the same, in
   * virtual ms.
   *
   * @default {30_000}
   */
  readonly settle?: number;
  /**
   * Plays this instead of what the seed gives: a shrunk script, once more.
   *
   * @default {what the seed gives}
   */
  readonly script?: readonly Action[];
  /**
   * The most runs that cutting down a failing script may take.
   *
   * @default {300}
   */
  readonly shrinkRuns?: number;
  /** Called after each seed, with how many there were. */
  readonly progress?: (seeds: number) => void;
}

/** A run in which a store did what it must not. */
export interface StoreFailure {
  /** Its seed: the same store with the same seed does the same again. */
  readonly seed: number;
  /** What was thrown: mostly an `InvariantError` whose cause is a `HistoryError`. */
  readonly error: unknown;
  /** What the seed gave as a script. */
  readonly script: readonly Action[];
  /** A part of it, at earlier times, that fails in the same way. */
  readonly shrunk: readonly Action[];
  /** What clients did and saw in the run of that part. */
  readonly history: History;
}

/** What came out of {@linkcode simulate}. */
export interface StoreReport {
  /** Seeds that were run. */
  readonly seeds: number;
  /** Operations of clients that were acknowledged, over all runs. */
  readonly acknowledged: number;
  /** How long the slowest run took to converge once all was well again, in virtual ms. */
  readonly converged: number;
  /** The first run that failed, after which there was no other; `null`: none did. */
  readonly failure: StoreFailure | null;
  /** What came out, for a person: the seed and the shrunk script of the failure. */
  toString(): string;
}

/**
 * Runs a store on several whole nodes, under virtual time, with clients that read and
 * write while the network is cut, programs are killed and clocks are set. Afterwards all
 * is made well, and what the clients saw is held against what a store promises. With one
 * seed after the other, until a run fails; that is cut down to what it takes to fail.
 *
 * @example A replicated map that loses nothing it has acknowledged
 * ```ts
 * import { map, type ReplicatedMap } from "@devts/node/state";
 * import { simulate } from "@devts/node/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const report = await simulate<ReplicatedMap<string>>({ seeds: 5, nodes: 3 }, {
 *   start: ({ createNode }) => createNode().use("cart", map({ replicas: 3 })),
 *   write: (cart, key, value) => cart.set(key, value, { level: "quorum" }),
 *   read: (cart, key) => cart.get(key),
 *   version: (cart, key) => cart.version(key),
 * });
 * assertEquals(report.failure, null, `${report}`);
 * ```
 *
 * @typeParam S The store.
 * @returns What came out; a failure is no rejection.
 * @throws {RangeError} If an option is out of its range.
 */
export async function simulate<S>(
  options: SimulateOptions,
  scenario: StoreScenario<S>,
): Promise<StoreReport> {
  const { nodes = 3, seed, seeds = 100, shrinkRuns = 300, progress } = options;
  if (!Number.isInteger(nodes) || nodes < 2 || nodes > 26) {
    throw new RangeError(`Cannot simulate ${nodes} nodes: 2 to 26 it must be`);
  }
  let history: History = [];
  let acknowledged = 0;
  const ids = Array.from({ length: nodes }, (_, i) => `n${i}`);
  const keys = Array.from(
    { length: options.keys ?? 16 },
    (_, i) => `k${i}`,
  );
  const all: Scenario<Action> = {
    name: "store",
    isAsync: true,
    script: (random) =>
      options.script ?? scriptOf({
        nodes: ids,
        keys,
        operations: options.operations ?? 60,
        length: options.length ?? 20_000,
        troubles: options.troubles ?? TROUBLES,
        crashes: options.crashes ?? Math.ceil(nodes / 2) - 1,
        skew: options.skew ?? 29_000,
        deletes: scenario.delete !== undefined,
      }, random),
    run: async (run) => {
      const trial = new Trial(run, ids, keys, scenario);
      try {
        return await trial.run(options.settle ?? 30_000);
      } finally {
        history = trial.history;
        acknowledged += history.filter(isAcknowledged).length;
      }
    },
  };
  const report = await simulateAll(all, {
    seeds: seed === undefined ? seeds : 1,
    from: seed ?? 1,
    shrinkRuns,
    progress: ({ seeds }) => progress?.(seeds),
  });
  return reportOf(report, acknowledged, history);
}

const CONVERGED = "converged after all was well (ms)";
const TROUBLES: readonly Trouble[] = [
  "full",
  "asymmetric",
  "bridge",
  "rolling",
  "crash",
  "stall",
  "clock",
  "slow",
];

function isAcknowledged({ kind, outcome }: Operation): boolean {
  return kind !== "read" && outcome === "ok";
}

function reportOf(
  report: AnyReport<Action>,
  acknowledged: number,
  history: History,
): StoreReport {
  const { seeds, failure } = report;
  const converged = report.figures[CONVERGED]?.max ?? 0;
  return {
    seeds,
    acknowledged,
    converged,
    failure: failure === null ? null : {
      seed: failure.seed,
      error: failure.error,
      script: failure.script,
      shrunk: failure.shrunk,
      history,
    },
    toString(): string {
      if (failure === null) {
        return `${seeds} seeds, ${acknowledged} acknowledged writes, none lost; converged within ${
          converged.toFixed(0)
        } ms`;
      }
      return [
        `seed ${failure.seed}: ${reasonOf(failure.error)}`,
        `it takes ${failure.shrunk.length} of ${failure.script.length} events:`,
        ...failure.shrunk.map((action) => `  ${JSON.stringify(action)}`),
        "what clients saw:",
        ...told(history).map((operation) => `  ${lineOf(operation)}`),
      ].join("\n");
    },
  };
}

/** Without the reads at the end of keys that nobody used. */
function told(history: History): History {
  const keys = new Set(
    history.filter(({ isFinal }) => !isFinal).map(({ key }) => key),
  );
  return history.filter(({ key }) => keys.has(key));
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function lineOf(operation: Operation): string {
  const { kind, node, key, value, invoked, returned, outcome } = operation;
  const until = returned === null ? "…" : returned.toFixed(0);
  const when = `${invoked.toFixed(0)} to ${until} ms`.padEnd(20);
  const what = kind === "delete"
    ? `delete ${key}`
    : kind === "write"
    ? `write ${key} = ${value}`
    : `read ${key}: ${value ?? "nothing"}`;
  const end = operation.isFinal ? ", at the end" : "";
  return `${when} ${node}  ${what}, ${outcome}${end}`;
}

/** One life of a machine. */
interface Life<S> {
  readonly session: string;
  /** Null until it has started. */
  store: S | null;
}

/** One run. */
class Trial<S> {
  readonly #run: ScenarioRun<Action>;
  readonly #ids: readonly string[];
  readonly #keys: readonly string[];
  readonly #scenario: StoreScenario<S>;
  readonly #network: VirtualNetwork;
  readonly #recorder: Recorder;
  readonly #lives = new Map<string, Life<S>>();
  readonly #nodes = new Map<string, Node<AnyEvents>>();
  readonly #disks = new Map<string, Disk>();
  /** What starting a program failed with. */
  readonly #faults: unknown[] = [];
  #values = 0;
  #started = 0;

  constructor(
    run: ScenarioRun<Action>,
    ids: readonly string[],
    keys: readonly string[],
    scenario: StoreScenario<S>,
  ) {
    this.#run = run;
    this.#ids = ids;
    this.#keys = keys;
    this.#scenario = scenario;
    this.#network = run.network({
      latency: 2,
      jitter: 8,
      loss: 0.01,
      backoff: true,
      giveUp: 30_000,
      dialTimeout: 5_000,
    });
    this.#recorder = new Recorder(() => this.#network.clock.now());
  }

  get history(): History {
    return this.#recorder.history;
  }

  async run(settle: number): Promise<Record<string, number>> {
    const { clock } = this.#network;
    for (const id of this.#ids) {
      this.#network.machine(id, {
        connectionError: ConnectionError,
        start: (machine) => this.#start(machine),
      });
    }
    await clock.passUntil(() => this.#isWhole(), MEETING);
    const { script } = this.#run;
    this.#network.play(script.filter(isFault));
    for (const action of script) {
      if (!isFault(action)) clock.after(action.at, () => this.#ask(action));
    }
    const end = Math.max(0, ...script.map((one) => one.at + (one.for ?? 0)));
    await clock.pass(end + 1);
    this.#network.healAll();
    for (const machine of this.#network.machines) {
      if (!machine.running) machine.restart();
    }
    const healed = clock.now();
    const converged = await this.#converge(healed + settle);
    await clock.pass(Math.max(0, healed + RETURN - clock.now()));
    await this.#readAll();
    this.#check();
    return { [CONVERGED]: converged - healed };
  }

  #start(machine: VirtualMachine): void {
    const { id } = machine;
    const life: Life<S> = { session: `${id}#${++this.#started}`, store: null };
    this.#lives.set(id, life);
    const disk = this.#disks.get(id) ?? new Disk();
    this.#disks.set(id, disk);
    const storage = disk.attach(machine);
    const parts = simulatedParts(machine);
    let node: Node<AnyEvents> | null = null;
    const program: Program = {
      id,
      ids: this.#ids,
      storage,
      parts,
      createNode<E extends object>(overrides: Partial<NodeParts> = {}) {
        const made = new Node<E>({ ...parts, ...overrides });
        node = made;
        return made;
      },
      use(one) {
        node = one;
      },
    };
    const begin = async (): Promise<void> => {
      life.store = await this.#scenario.start(program);
      if (node === null) {
        throw new TypeError(
          `Cannot run "${id}": start() made no node by createNode(), and handed none to use()`,
        );
      }
      this.#nodes.set(id, node);
      node.listen(`virtual://${id}`);
      const others = this.#ids.filter((one) => one !== id);
      node.join(...others.map((one) => `virtual://${one}`));
    };
    begin().catch((error) => this.#faults.push(error));
  }

  #isWhole(): boolean {
    this.#throwFault();
    if (this.#nodes.size !== this.#ids.length) return false;
    return this.#ids.every((id) =>
      this.#nodes.get(id)?.members.size === this.#ids.length - 1
    );
  }

  #ask({ do: kind, node, key }: Ask): void {
    const life = this.#lives.get(node);
    if (!life || life.store === null || !this.#isUp(node)) return;
    const { store, session } = life;
    if (kind === "read") {
      this.#read(store, node, session, key, false);
      return;
    }
    const value = kind === "write" ? `v${++this.#values}` : undefined;
    this.#write(store, { kind, node, session, key, value, isFinal: false });
  }

  async #write(
    store: S,
    operation: Pick<
      Operation,
      "kind" | "node" | "session" | "key" | "value" | "isFinal"
    >,
  ): Promise<void> {
    const { key, value, session, node } = operation;
    const running = this.#recorder.begin(operation);
    const before = this.#scenario.version?.(store, key);
    let result: unknown;
    try {
      result = value === undefined
        ? this.#scenario.delete?.(store, key)
        : this.#scenario.write(store, key, value);
    } catch (error) {
      this.#recorder.end(running, { outcome: "fail", error });
      return;
    }
    // A store that makes the write at once tells of it at once; one that does so later,
    // when it is made, unless another one has taken its place: of that, reads tell.
    const version = this.#scenario.version?.(store, key);
    if (version !== before) this.#recorder.version(running, version);
    try {
      await result;
      if (!this.#isAlive(node, session)) return;
      if (version === before) this.#noteLate(running, store, key, value);
      this.#recorder.end(running, { outcome: "ok" });
    } catch (error) {
      const outcome = isRefused(error) ? "fail" : "unknown";
      this.#recorder.end(running, { outcome, error });
    }
  }

  /** Notes where a write stands that has been made by now, if it is what is there. */
  #noteLate(
    running: Running,
    store: S,
    key: string,
    value: string | undefined,
  ): void {
    const version = this.#scenario.version?.(store, key);
    if (version === undefined) return;
    const read = this.#scenario.read(store, key);
    if (read instanceof Promise) read.catch(() => {});
    else if (read === value) this.#recorder.version(running, version);
  }

  async #read(
    store: S,
    node: string,
    session: string,
    key: string,
    isFinal: boolean,
  ): Promise<void> {
    const running = this.#recorder.begin({
      kind: "read",
      node,
      session,
      key,
      value: undefined,
      isFinal,
    });
    try {
      const read = this.#scenario.read(store, key);
      const value = read instanceof Promise ? await read : read;
      if (!this.#isAlive(node, session)) return;
      const version = this.#scenario.version?.(store, key);
      this.#recorder.end(running, { outcome: "ok", value, version });
    } catch (error) {
      this.#recorder.end(running, { outcome: "fail", error });
    }
  }

  /** How long it is after the beginning that all hold the same, at the latest at `limit`. */
  async #converge(limit: number): Promise<number> {
    const { clock } = this.#network;
    for (;;) {
      this.#throwFault();
      if (this.#isWhole() && await this.#isSame()) return clock.now();
      if (clock.now() >= limit) {
        await this.#readAll();
        this.#invariant(() => converges(this.history));
        throw new InvariantError(
          "all nodes converge",
          clock.now(),
          null,
          new Error(
            "the nodes have not met again, or their hashes differ, in the time they have",
          ),
        );
      }
      await clock.pass(EVERY);
    }
  }

  async #isSame(): Promise<boolean> {
    const texts = new Set<string>();
    for (const id of this.#ids) {
      const store = this.#lives.get(id)?.store;
      if (store === undefined || store === null) return false;
      texts.add(
        this.#scenario.hash?.(store) ?? JSON.stringify(
          await Promise.all(
            this.#keys.map(async (key) =>
              await this.#scenario.read(store, key) ?? null
            ),
          ),
        ),
      );
      if (texts.size > 1) return false;
    }
    return true;
  }

  async #readAll(): Promise<void> {
    const reads: Promise<void>[] = [];
    for (const node of this.#ids) {
      const life = this.#lives.get(node);
      if (!life || life.store === null) continue;
      for (const key of this.#keys) {
        reads.push(this.#read(life.store, node, life.session, key, true));
      }
    }
    await this.#network.clock.settle(Promise.all(reads));
  }

  #check(): void {
    const { check = checkHistory } = this.#scenario;
    const stores = new Map<string, S>();
    for (const [id, { store }] of this.#lives) {
      if (store !== null) stores.set(id, store);
    }
    this.#invariant(() => check(this.history, stores));
  }

  /** Runs a check; what it throws says which rule was broken, for the script to be cut down. */
  #invariant(check: () => void): void {
    try {
      check();
    } catch (error) {
      const rule = error instanceof HistoryError ? error.rule : "check";
      const now = this.#network.clock.now();
      throw new InvariantError(rule, now, null, error);
    }
  }

  #isAlive(node: string, session: string): boolean {
    return this.#lives.get(node)?.session === session && this.#isUp(node);
  }

  #isUp(node: string): boolean {
    return this.#network.machines.some(({ id, running }) =>
      id === node && running
    );
  }

  #throwFault(): void {
    for (const fault of this.#faults) throw fault;
  }
}

function isFault(action: Action): action is Fault {
  return action.do !== "write" && action.do !== "delete" &&
    action.do !== "read";
}

function isRefused(error: unknown): boolean {
  return error instanceof WriteError &&
    (error.reason === "clock" || error.reason === "closed");
}
