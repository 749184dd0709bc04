import type { Scope } from "../behaviour.ts";
import { reasonOf } from "../errors.ts";
import { Reader, Writer } from "./_bytes.ts";
import {
  type Call,
  callOfMap,
  checkKey,
  checkOptions,
  DEFAULT_TIMEOUT,
  explained,
} from "./_checks.ts";
import { type Head, readHead } from "./_page.ts";
import { Persistence } from "./_persistence.ts";
import { isDrift } from "./_scan.ts";
import { PeerClocks } from "./_peer_clocks.ts";
import { type Missed, Quorum } from "./_quorum.ts";
import { readLife, type Replica, replicaId } from "./_replicas.ts";
import { type Changed, Store } from "./_store.ts";
import { type Page, type Question, Transfers } from "./_transfers.ts";
import { carriesBytes, toBase64, unpack, type Wire } from "./_wire.ts";
import { WriteError } from "./errors.ts";
import { MAX_DRIFT } from "./hlc.ts";
import type {
  Level,
  StateCounters,
  StateOptions,
  WriteOptions,
} from "./types.ts";

/** The events of replicated state. */
interface Events {
  /** Writes of the sender. */
  delta(bytes: Wire): void;
  /** What follows what the sender has? */
  pull(bytes: Wire): Wire;
  /** A page of everything? */
  scan(bytes: Wire): Wire;
  /** The hashes under some nodes of the tree? */
  hashes(bytes: Wire): Wire;
  /** What differs in some buckets? */
  buckets(bytes: Wire): Wire;
  /** The sender holds your writes up to a number. */
  held(bytes: Wire): void;
  /** Do you hold my writes up to a number? */
  hold(bytes: Wire): void;
}

/** What is written leaves when it takes this much, in bytes, or in the next turn. */
const FLUSH_SIZE = 32_768;
/** How often a node asks another one, chosen at random, for what it missed, in ms. */
const PULL_EVERY = 2_000;
/** The same, more or less by so much. */
const JITTER = 0.2;
/** How long a page of a transfer may take, in ms. */
const PAGE_TIMEOUT = 5_000;
/** How long a deletion is remembered, in ms. */
const TOMBSTONE_AGE = 900_000;
/**
 * A life of a node that a later one has followed is over after so long without news, in
 * ms, where all configured replicas hold what it wrote.
 */
const SETTLED_AFTER = 300_000;
/** The last life of a node that is gone, likewise; all, where nobody said who the replicas are. */
const GONE_AFTER = 86_400_000;
/** How often what is no longer needed is given up, in ms. */
const SWEEP_EVERY = 10_000;
/** After so much time of day, in ms, the clocks are judged anew. */
const JUDGE_EVERY = 500;
/** What a message may hold beside the longest value, in bytes. */
const MESSAGE_ROOM = 65_536;
/** Writes that wait for the storage at the same time. */
const MAX_WAITING = 65_536;

const SETTLED: Promise<void> = Promise.resolve();

/** Who is told of changes. */
interface Watcher {
  readonly callback: Changed;
  isOver: boolean;
}

/** A transfer that is due, and who waits for it. */
interface Due {
  readonly done: PromiseWithResolvers<boolean>;
}

/** Carries a {@linkcode Store} between the nodes of a cluster. */
export class Replication {
  readonly store: Store;
  /** For state that has something to tidy up, every now and then. */
  tidy: (() => void) | null = null;
  readonly #scope: Scope<Events>;
  readonly #level: Level;
  readonly #call: Call;
  readonly #clocks: PeerClocks;
  readonly #quorum: Quorum;
  readonly #transfers: Transfers;
  readonly #persistence: Persistence | null;
  readonly #carriesBytes: boolean;
  #watchers: readonly Watcher[] = [];
  #isTelling = false;
  /** Changes that watchers made, and what came after those. */
  #untold: Parameters<Changed>[] = [];
  readonly #due = new Map<string, Due>();
  /** How far each member was with each replica, when it last asked. */
  readonly #known = new Map<string, ReadonlyMap<string, number>>();
  /** Nodes that wait to hear that this one holds so many of the writes of their present life. */
  readonly #owed = new Map<
    string,
    { readonly to: string; readonly id: string; readonly seq: number }
  >();
  readonly #counts = {
    transfers: 0,
    failedTransfers: 0,
    refused: 0,
    divergences: 0,
  };
  #isPumping = false;
  #isScheduled = false;
  #wantsAck = false;
  /** The last write that waits for the storage, and then for replicas. */
  #ackUpTo = 0;
  /** While links are behind. */
  #room: Promise<void> | null = null;
  #wall = 0;
  #judgedAt = -Infinity;
  #offset = 0;
  #refusal: string | null = null;
  #storageError: unknown = null;
  #isLoading = false;
  #loadWaiting = 0;
  #closed = false;

  /**
   * @param call What the program called, where it is no map.
   * @param isVerified Whether nodes that know of the same writes hold the same; false: they
   * forget some by themselves.
   */
  constructor(
    scope: Scope<Events>,
    options: StateOptions,
    call: Call = callOfMap,
    isVerified = true,
  ) {
    const { clock, codec, wallClock } = scope;
    this.#scope = scope;
    this.#level = options.level ?? "memory";
    this.#call = call;
    const now = (): number => clock.now();
    this.#clocks = new PeerClocks(wallClock, now);
    this.#carriesBytes = carriesBytes(codec);
    this.store = new Store({
      // Another one each time, also where one node uses a name again.
      replica: replicaId(scope.id, scope.incarnation + scope.generation),
      codec,
      wallClock: () => this.#wall,
      clusterTime: () => wallClock() + this.#offset,
      now,
      secret: scope.random(),
      // Base64 takes four bytes for three.
      maxValue: Math.floor(
        scope.maxMessage * (this.#carriesBytes ? 1 : 3 / 4),
      ) - MESSAGE_ROOM,
    });
    this.#wall = wallClock();
    this.#quorum = new Quorum({
      self: scope.id,
      replicas: options.replicas ?? 0,
      clock,
      missed: (writes) => this.#missed(writes),
      ask: (missing, seq) => this.#askHeld(missing, seq),
    });
    this.#transfers = new Transfers({
      store: this.store,
      members: () => scope.members.keys(),
      ask: (id, what, question) => this.#askPage(id, what, question),
      refused: (id, error) => this.#refuse(id, error),
      diverged: (id) => this.#diverged(id),
      changed: () => this.#persistence?.touch(),
      now,
      isVerified,
    });
    this.#persistence = this.#persist(options);
    this.#listen();
    this.#plan(PULL_EVERY, () => this.#pullSome());
    this.#plan(SWEEP_EVERY, () => this.#sweep());
    for (const id of scope.members.keys()) this.#transfer(id);
    scope.defer(() => this.#close());
  }

  /** Resolves once what was kept has been read, and it takes writes. */
  get ready(): Promise<void> {
    return this.#persistence?.loaded ?? SETTLED;
  }

  /** What it did and met. */
  get counters(): StateCounters {
    const { counters } = this.store;
    return {
      ...counters,
      ...this.#counts,
      replicas: this.store.marks().size,
      refused: counters.refused + this.#counts.refused,
    };
  }

  // -- Writing --

  /** Makes a write. Throws for what is not allowed, rejects for what fails. */
  write(
    key: string,
    value: unknown,
    isDelete: boolean,
    options?: WriteOptions,
  ): Promise<void> {
    if (this.#isLoading) {
      return this.onceLoaded(() => this.write(key, value, isDelete, options));
    }
    const level = options?.level ?? this.#level;
    const refused = this.#refused(key, isDelete, level, options);
    if (refused) return quiet(Promise.reject(refused));
    const isStaged = this.#persistence !== null && level !== "memory";
    if (isStaged && this.store.staged.size >= MAX_WAITING) {
      return this.#tooMany();
    }
    try {
      checkKey(key);
      if (value === undefined && !isDelete) {
        throw new TypeError("undefined is no value; use delete, or null");
      }
      if (isStaged) return this.#stage(key, value, isDelete, level, options);
      this.store.write(key, value, isDelete);
    } catch (error) {
      throw explained(error, this.#call(key, isDelete));
    }
    this.#persistence?.touch();
    if (level === "memory") {
      this.#told();
      return this.#room ?? SETTLED;
    }
    this.#wantsAck = true;
    this.#told();
    const { lastSeq } = this.store;
    this.#quorum.made(lastSeq);
    return this.#acknowledged(key, isDelete, lastSeq, level, options);
  }

  /** A write that is made once the storage has it. */
  #stage(
    key: string,
    value: unknown,
    isDelete: boolean,
    level: Level,
    options: WriteOptions | undefined,
  ): Promise<void> {
    const kept = this.store.stage(key, value, isDelete);
    this.#persistence?.touch();
    if (level === "fsync") return kept;
    const { lastSeq } = this.store;
    this.#ackUpTo = lastSeq;
    return quiet(
      kept.then(() =>
        this.#acknowledged(key, isDelete, lastSeq, level, options)
      ),
    );
  }

  /** Makes a write of the state itself; where it is refused now, another one will be made. */
  change(key: string, value: unknown, isDelete: boolean): void {
    // What it replaces may wait for the storage.
    const level = this.#persistence ? "fsync" : "memory";
    quiet(this.write(key, value, isDelete, { level }));
  }

  /** The value that a key has once all writes of this node are made. */
  latest(key: string): unknown {
    const staged = this.store.staged.get(key);
    return staged ? staged.value : this.store.entries.live.get(key);
  }

  /** Does some work once what was kept has been read, or could not be. */
  onceLoaded(work: () => Promise<void>): Promise<void> {
    if (!this.#isLoading) return work();
    if (this.#loadWaiting >= MAX_WAITING) return this.#tooMany();
    this.#loadWaiting++;
    return quiet(this.ready.catch(() => {}).then(work));
  }

  #tooMany(): Promise<never> {
    return quiet(Promise.reject(
      new WriteError(
        "storage",
        `Cannot write to "${this.#scope.name}": ${MAX_WAITING} writes wait for its storage`,
      ),
    ));
  }

  #refused(
    key: string,
    isDelete: boolean,
    level: Level,
    options: WriteOptions | undefined,
  ): WriteError | null {
    const wall = this.#scope.wallClock();
    this.#wall = wall;
    if (wall < this.#judgedAt || wall - this.#judgedAt > JUDGE_EVERY) {
      this.#judge();
    }
    if (this.#refusal !== null) {
      return this.#error("clock", key, isDelete, this.#refusal);
    }
    if (this.#closed) {
      const why = `"${this.#scope.name}" has ended`;
      return this.#error("closed", key, isDelete, why);
    }
    if (this.#storageError !== null) {
      const error = this.#storageError;
      return this.#error("storage", key, isDelete, reasonOf(error), error);
    }
    if (options?.timeout === undefined && this.#offers(level)) return null;
    checkOptions(this.#call(key, isDelete), level, options, {
      name: this.#scope.name,
      hasStorage: this.#persistence !== null,
      replicas: this.#quorum.size,
    });
    return null;
  }

  /** Whether a level is one, and there is what it needs. */
  #offers(level: Level): boolean {
    if (level === "fsync") return this.#persistence !== null;
    if (level === "memory") return true;
    return (level === "quorum" || level === "all") && this.#quorum.size > 0;
  }

  #error(
    reason: WriteError["reason"],
    key: string,
    isDelete: boolean,
    why: string,
    cause?: unknown,
  ): WriteError {
    const call = this.#call(key, isDelete);
    return new WriteError(reason, `Cannot ${call}: ${why}`, { cause });
  }

  #acknowledged(
    key: string,
    isDelete: boolean,
    seq: number,
    level: Level,
    { timeout = DEFAULT_TIMEOUT }: WriteOptions = {},
  ): Promise<void> {
    return this.#quorum.wait(seq, key, isDelete, level === "all", timeout);
  }

  #missed({ key, isDelete, count, all, timeout, held }: Missed): WriteError {
    const others = count === 1 ? "" : `, and ${count - 1} more,`;
    const level = all ? "all" : "quorum";
    const it = count === 1 ? "it is" : "they are";
    return new WriteError(
      "replicas",
      `Cannot ${
        this.#call(key, isDelete)
      }${others} at "${level}": ${held} of ${this.#quorum.size} replicas hold ${
        count === 1 ? "it" : "them"
      } after ${timeout} ms; ${it} not undone, and may spread`,
    );
  }

  /** There is something to tell: in the next turn, or now that it is much. */
  #told(): void {
    if (this.store.pendingBytes >= FLUSH_SIZE) this.#flush();
    else this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled || this.#closed) return;
    this.#isScheduled = true;
    this.#scope.clock.soon(() => {
      this.#isScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#closed) return;
    this.#quorum.seal();
    const delta = this.store.takeDelta(this.#wantsAck);
    this.#wantsAck = false;
    if (!delta || this.#scope.members.size === 0) return;
    const done = (): void => {
      if (this.#room === room) this.#room = null;
    };
    const room = this.#scope.emit("delta", this.#pack(delta)).then(done, done);
    this.#room = room;
  }

  // -- Others --

  /** Whether this is the first by its id of those that hold the state. */
  get isFirst(): boolean {
    for (const id of this.#known.keys()) {
      if (id < this.#scope.id) return false;
    }
    return true;
  }

  /** Whether a node is a member, or this one. */
  isHere(id: string): boolean {
    return id === this.#scope.id || this.#scope.members.has(id);
  }

  /** Whether everybody holds the writes of this node up to a number. */
  isEverywhere(seq: number): boolean {
    const { id, mark } = this.store.self;
    if (mark < seq || !this.#quorum.isComplete(this.#known.keys())) {
      return false;
    }
    for (const known of this.#known.values()) {
      if ((known.get(`r:${id}`) ?? 0) < seq) return false;
    }
    return true;
  }

  // -- Watching --

  /** Calls back for each change, until disposed. */
  watch(callback: Changed): Disposable {
    const watcher: Watcher = { callback, isOver: false };
    this.#watchers = [...this.#watchers, watcher];
    this.store.changed = (...change) => this.#changed(change);
    return {
      [Symbol.dispose]: (): void => {
        watcher.isOver = true;
        this.#watchers = this.#watchers.filter((one) => one !== watcher);
        if (this.#watchers.length === 0) this.store.changed = null;
      },
    };
  }

  /** What a watcher writes is told after what it was told, to all in the same order. */
  #changed(change: Parameters<Changed>): void {
    if (this.#isTelling || this.#untold.length > 0) this.#untold.push(change);
    else this.#tell([change]);
  }

  #tell(changes: readonly Parameters<Changed>[]): void {
    this.#isTelling = true;
    for (const change of changes) {
      // Who begins to watch meanwhile hears of what comes then.
      for (const watcher of this.#watchers) this.#tellOne(watcher, change);
    }
    this.#isTelling = false;
    if (this.#untold.length === 0) return;
    // A watcher that always writes does not stop everything else.
    this.#scope.clock.soon(() => this.#tell(this.#untold.splice(0)));
  }

  #tellOne({ callback, isOver }: Watcher, change: Parameters<Changed>): void {
    if (isOver) return;
    try {
      callback(...change);
    } catch (error) {
      this.#scope.fault(error, `a watcher failed: ${reasonOf(error)}`);
    }
  }

  // -- Keeping --

  #persist({ storage }: StateOptions): Persistence | null {
    if (!storage) return null;
    const { cluster, name, clock, codec } = this.#scope;
    this.#isLoading = true;
    this.store.entries.tracksDirty = true;
    const persistence = new Persistence({
      store: this.store,
      codec,
      clock,
      open: () => storage.open({ cluster, name }),
      durable: () => this.#durable(),
      failing: (error) => this.#failing(error),
    });
    persistence.loaded.then(
      () => {
        this.#isLoading = false;
        for (const id of this.#scope.members.keys()) this.#transfer(id);
      },
      (error) => {
        this.#failing(error);
        this.#isLoading = false;
      },
    );
    return persistence;
  }

  /** The storage has all that was there when its last transaction began. */
  #durable(): void {
    const { store } = this;
    const before = store.self.mark;
    const mark = this.#markOf(store.self);
    store.keep(mark);
    this.#quorum.held(this.#scope.id, mark);
    store.staged.settle(mark);
    if (this.#ackUpTo > before) this.#wantsAck = true;
    this.#told();
    this.#payOwed();
  }

  #failing(error: unknown): void {
    this.#storageError = error;
    if (error === null) {
      this.#scope.logger.info("the storage works again: takes writes again");
      return;
    }
    this.#refuseStaged("storage", reasonOf(error), error);
    this.#scope.fault(error, `takes no writes: ${reasonOf(error)}`);
  }

  #refuseStaged(
    reason: WriteError["reason"],
    why: string,
    cause?: unknown,
  ): void {
    const { store } = this;
    store.refuse();
    store.staged.settle(
      store.lastSeq,
      new WriteError(reason, `Cannot write to "${this.#scope.name}": ${why}`, {
        cause,
      }),
    );
    this.#told();
  }

  /** Up to which number this node holds the writes of a replica, as safely as it can. */
  #markOf(replica: Replica): number {
    return this.#persistence ? this.#persistence.markOf(replica) : replica.mark;
  }

  // -- Hearing --

  #listen(): void {
    const scope = this.#scope;
    scope.on("delta", (data, { from }) => this.#takeDelta(from, data));
    scope.on(
      "pull",
      (data, { from }) =>
        this.#answer(
          from,
          data,
          (bytes) => this.#answerPull(from, readHead(new Reader(bytes))),
        ),
    );
    scope.on(
      "scan",
      (data, { from }) =>
        this.#answer(
          from,
          data,
          (bytes) => this.store.answerScan(bytes, !this.#transfers.isNew),
        ),
    );
    scope.on(
      "hashes",
      (data, { from }) =>
        this.#answer(from, data, (bytes) => this.store.answerHashes(bytes)),
    );
    scope.on(
      "buckets",
      (data, { from }) =>
        this.#answer(from, data, (bytes) => this.store.answerBuckets(bytes)),
    );
    scope.on("held", (data, { from }) => this.#takeHeld(from, data));
    scope.on("hold", (data, { from }) => this.#takeHold(from, data));
    scope.onSystem("join", ({ id }) => void this.#transfer(id));
    scope.onSystem("leave", ({ member: { id } }) => {
      this.#clocks.forget(id);
      this.#known.delete(id);
      this.#owed.delete(`n:${id}`);
      this.#transfers.forget(id);
    });
  }

  #takeDelta(from: string, data: Wire): void {
    // What is missed is asked for once everything has been read.
    if (this.#isLoading) return;
    try {
      const { received, replica, ack, to } = this.store.receive(
        unpack(data),
        from,
      );
      if (received === "gap") this.#transfer(from);
      if (received === "taken") this.#persistence?.touch();
      if (ack) this.#sayHeld(from, replica.id, to);
    } catch (error) {
      this.#refuse(from, error);
    }
  }

  #refuse(from: string, error: unknown): void {
    this.#counts.refused++;
    this.#scope.fault(
      error,
      `refused what node "${from}" tells: ${reasonOf(error)}`,
    );
  }

  #diverged(id: string): void {
    this.#counts.divergences++;
    const message =
      `holds something else than node "${id}", though both know of the same writes: what differs is exchanged`;
    this.#scope.fault(
      new Error(`"${this.#scope.name}" ${message}`),
      message,
    );
  }

  #answerPull(from: string, asked: Head): Uint8Array {
    this.#known.set(
      from,
      new Map(asked.spans.map(({ id, to }) => [`r:${id}`, to])),
    );
    return this.store.answerPull(asked, !this.#transfers.isNew);
  }

  #answer(
    from: string,
    data: Wire,
    answer: (bytes: Uint8Array) => Uint8Array,
  ): Wire | Promise<Wire> {
    if (this.#isLoading) {
      return this.ready.then(() => this.#answer(from, data, answer));
    }
    this.#wall = this.#scope.wallClock();
    try {
      return this.#pack(answer(unpack(data)));
    } catch (error) {
      this.#refuse(from, error);
      throw error;
    }
  }

  // -- Acknowledging --

  /** A writer wants to know when this node holds so many of its writes. */
  #sayHeld(to: string, id: string, seq: number): void {
    const owed = this.#owed.get(`n:${to}`);
    const before = owed?.id === id ? owed.seq : 0;
    this.#owed.set(`n:${to}`, { to, id, seq: Math.max(seq, before) });
    const mark = this.store.entries.replicas.get(id)?.mark ?? 0;
    if (mark < seq) this.#transfer(to).then(() => this.#payOwed());
    else this.#payOwed();
  }

  #payOwed(): void {
    if (this.#closed) return;
    for (const [key, { to, id, seq }] of this.#owed) {
      const replica = this.store.entries.replicas.get(id);
      const mark = replica ? this.#markOf(replica) : 0;
      if (mark < seq) continue;
      this.#owed.delete(key);
      if (!this.#scope.members.has(to)) continue;
      this.#scope.send(to, "held", this.#pack(about(id, mark)));
    }
  }

  #takeHeld(from: string, data: Wire): void {
    const [id, seq] = this.#readAbout(from, data);
    if (id !== this.store.self.id || seq > this.store.self.mark) return;
    this.#quorum.held(from, seq);
  }

  #takeHold(from: string, data: Wire): void {
    const [id, seq] = this.#readAbout(from, data);
    if (seq > 0 && readLife(id)?.node === from) this.#sayHeld(from, id, seq);
  }

  #readAbout(from: string, data: Wire): [id: string, seq: number] {
    try {
      const reader = new Reader(unpack(data));
      return [reader.text(), reader.u64()];
    } catch (error) {
      this.#refuse(from, error);
      return ["", 0];
    }
  }

  #askHeld(missing: (id: string) => boolean, seq: number): void {
    const question = this.#pack(about(this.store.self.id, seq));
    for (const id of this.#scope.members.keys()) {
      if (missing(id)) this.#scope.send(id, "hold", question);
    }
  }

  // -- Transfers --

  /** Resolves once this node holds what every member held when it was called. */
  async sync(): Promise<void> {
    const ids = [...this.#scope.members.keys()];
    await Promise.all(ids.map((id) => this.#transfer(id)));
  }

  #pullSome(): void {
    const ids = [...this.#scope.members.keys()];
    const id = ids[Math.floor(this.#scope.random() * ids.length)];
    if (id !== undefined) this.#transfer(id);
  }

  /** Takes over what a member has and this node has not; resolves to whether it could. */
  #transfer(id: string): Promise<boolean> {
    let due = this.#due.get(id);
    if (!due) {
      due = { done: Promise.withResolvers() };
      this.#due.set(id, due);
      this.#pump();
    }
    return due.done.promise;
  }

  async #pump(): Promise<void> {
    if (this.#isPumping) return;
    this.#isPumping = true;
    // What joins in the same turn is a source, too.
    await this.ready.catch(() => {});
    for (let [next] = this.#due; next && !this.#closed; [next] = this.#due) {
      const [id, { done }] = next;
      this.#due.delete(id);
      done.resolve(await this.#transferFrom(id));
    }
    for (const { done } of this.#due.values()) done.resolve(false);
    this.#due.clear();
    this.#isPumping = false;
  }

  async #transferFrom(id: string): Promise<boolean> {
    try {
      await this.#transfers.takeOver(id);
      this.#counts.transfers++;
      this.#persistence?.touch();
      return true;
    } catch (error) {
      this.#counts.failedTransfers++;
      if (error instanceof SyntaxError || isDrift(error)) {
        this.#refuse(id, error);
      }
      return false;
    }
  }

  async #askPage(
    id: string,
    what: Question,
    question: Uint8Array,
  ): Promise<Page> {
    const asked = this.#scope.clock.now();
    const answer = await this.#scope.request(id, what, this.#pack(question), {
      timeout: PAGE_TIMEOUT,
      signal: this.#scope.signal,
    });
    const bytes = unpack(answer);
    const reader = new Reader(bytes);
    const head = readHead(reader);
    this.#clocks.note(id, head.wallClock, asked);
    this.#judge();
    return { bytes, reader, head };
  }

  // -- Time --

  /** Whether this node's clock allows it to write. */
  #judge(): void {
    const wall = this.#scope.wallClock();
    this.#judgedAt = wall;
    const { offset, far, of } = this.#clocks.judge();
    const before = this.#refusal;
    this.#offset = offset;
    const ahead = this.store.clock.time - (wall + offset);
    if (offset !== 0) {
      const seconds = Math.round(Math.abs(offset) / 1000);
      const side = offset > 0 ? "behind" : "ahead of";
      this.#refusal =
        `this node's clock is ${seconds} s ${side} the clocks of ${far} of ${of} other nodes; set it right`;
    } else if (ahead > MAX_DRIFT) {
      this.#refusal = `its clock was ahead, and its last stamp is still ${
        Math.round(ahead / 1000)
      } s in the future`;
    } else this.#refusal = null;
    if (this.#refusal === before) return;
    if (this.#refusal === null) this.#scope.logger.info("takes writes again");
    else if (before === null) {
      this.#scope.logger.error(`takes no writes: ${this.#refusal}`);
    }
  }

  /** Calls again and again, with jitter, until the end. */
  #plan(every: number, work: () => void): void {
    const { clock, random } = this.#scope;
    const next = (): void => {
      const delay = every * (1 - JITTER + 2 * JITTER * random());
      cancel = clock.after(delay, () => {
        next();
        work();
      });
    };
    let cancel = (): void => {};
    next();
    this.#scope.defer(() => cancel());
  }

  #sweep(): void {
    const time = this.#scope.wallClock() + this.#offset;
    const buried = this.store.entries.bury(time - TOMBSTONE_AGE);
    const settled = this.store.settle((replica, isLast) =>
      this.#isOver(replica, isLast)
    );
    if (buried + settled > 0) this.#persistence?.touch();
    this.store.rest();
    if (this.tidy && !this.#isLoading && !this.#closed) this.#tidy(this.tidy);
  }

  #tidy(tidy: () => void): void {
    try {
      tidy();
    } catch (error) {
      this.#scope.fault(error, `cannot tidy up: ${reasonOf(error)}`);
    }
  }

  /**
   * Whether a life of a node is over, and all that it wrote is known to everybody: to
   * all replicas, so that none comes back with a write that only it has. Where nobody
   * said who they are, to all that have been here for a day.
   */
  #isOver({ id, node, mark, moved }: Replica, isLast: boolean): boolean {
    const { clock, members } = this.#scope;
    const { size } = this.#quorum;
    const isLong = isLast || size === 0;
    const since = clock.now() - moved;
    if (since < (isLong ? GONE_AFTER : SETTLED_AFTER)) return false;
    if (isLast && members.has(node)) return false;
    if (!this.#quorum.isComplete(this.#known.keys())) return false;
    for (const known of this.#known.values()) {
      if ((known.get(`r:${id}`) ?? mark) < mark) return false;
    }
    return true;
  }

  async #close(): Promise<void> {
    this.#flush();
    this.#closed = true;
    this.#quorum.close();
    await this.#persistence?.close();
    this.#refuseStaged("closed", "it has ended");
  }

  // -- Bytes --

  #pack(bytes: Uint8Array): Wire {
    return this.#carriesBytes ? bytes : toBase64(bytes);
  }
}

/** A replica and a number of its writes. */
function about(id: string, seq: number): Uint8Array {
  const writer = new Writer(96);
  writer.text(id);
  writer.u64(seq);
  return writer.view();
}

/** A rejection that nobody awaits does not end the process. */
function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}
