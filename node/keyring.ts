import type { KeyInfo, Keyring, Secret } from "@devts/protocol/keyring";
import type { NodeId } from "@devts/routing";
import type { Scope } from "./behaviour.ts";
import { reasonOf } from "./errors.ts";

/** The name under which nodes of a cluster change their secrets; no guest may use it. */
export const KEYRING = "devts.keyring";
/** How long a member may take to do what it is asked, in ms. */
const TIMEOUT = 5_000;
/** Links are made anew in between, so a member is asked again, after so many ms. */
const TRIES = 3;
const PAUSE = 250;

/** What each node of the cluster made of a step: `null` where it is done, or why not. */
export type KeyringReport = ReadonlyMap<string, string | null>;

/** What the nodes tell each other. */
interface Commands {
  /** A sealed command; the reply is what its sender's node knows then. */
  do(sealed: string): Reply;
}

/** What a node says of a command. */
interface Reply {
  readonly keys?: readonly KeyInfo[];
  readonly fault?: string;
  /** The guests that it has links with. */
  readonly guests?: readonly NodeId[];
}

/** A step, said to one node. */
interface Command {
  readonly to: NodeId;
  readonly step: "keys" | "install" | "use" | "remove";
  /** The text of a secret, or the id of a key. */
  readonly what: string;
}

/** What the keyring of a cluster is made with. */
export interface ClusterKeyringOptions {
  /** The secrets of this node. */
  readonly ring: Keyring;
  readonly scope: Scope<Commands>;
  /** The guests that this node has links with. */
  guests(): readonly NodeId[];
  /** Makes the links anew that were proven by a secret. */
  renew(keyId: string): Promise<void>;
  /** Sees to a step that fails and that nobody awaits. */
  quiet<T>(step: Promise<T>): Promise<T>;
}

/**
 * The secrets of a cluster, and how to change them while it runs: `install` the new one
 * everywhere, then `use` it everywhere, then `remove` the old one. Each step is taken on
 * this node and on all members, reports per node, and may be repeated.
 *
 * Members that are not there miss the step: give them all secrets that are installed
 * when they start again.
 */
export class ClusterKeyring {
  readonly #options: ClusterKeyringOptions;

  /** Makes it, and obeys others from now on. */
  constructor(options: ClusterKeyringOptions) {
    this.#options = options;
    options.scope.on("do", (sealed) => this.#obey(sealed));
  }

  /** The secrets that this node accepts, by their ids, the one in use first. */
  keys(): Promise<readonly KeyInfo[]> {
    return this.#options.ring.keys();
  }

  /**
   * Has all nodes accept another secret. It travels encrypted by the one in use.
   *
   * @returns The id of its key, and what each node made of it.
   * @throws {TypeError} If it is malformed.
   * @throws {RangeError} If this node's ring is full.
   */
  install(
    secret: Secret,
  ): Promise<{ readonly id: string; readonly nodes: KeyringReport }> {
    return this.#options.quiet(this.#install(secret));
  }

  async #install(secret: Secret): ReturnType<ClusterKeyring["install"]> {
    const { ring } = this.#options;
    const id = await ring.install(secret);
    const keys = await ring.secretKeys();
    const text = keys.find(({ name }) => name === id)?.text ?? "";
    const members = [...(await this.#members()).keys()];
    return { id, nodes: await this.#everywhere(members, "install", text, id) };
  }

  /**
   * Has all nodes show the secret of this key from now on.
   *
   * @throws {KeyringError} If a member has not installed it, or does not answer.
   * @throws {RangeError} If this node has not.
   */
  use(id: string): Promise<KeyringReport> {
    return this.#options.quiet(this.#use(id));
  }

  async #use(id: string): Promise<KeyringReport> {
    const members = await this.#ready(
      "use",
      id,
      (keys) =>
        keys.some((key) => key.id === id) ? null : "it has not installed it",
    );
    await this.#options.ring.use(id);
    return await this.#everywhere(members, "use", id, id);
  }

  /**
   * Has all nodes refuse the secret of this key from now on. Links that were proven by
   * it are made anew, one node after the other.
   *
   * @throws {KeyringError} If a member still uses it, or does not answer.
   * @throws {RangeError} If this node still uses it.
   */
  remove(id: string): Promise<KeyringReport> {
    return this.#options.quiet(this.#remove(id));
  }

  async #remove(id: string): Promise<KeyringReport> {
    const members = await this.#ready(
      "remove",
      id,
      (keys) =>
        keys.some((key) => key.id === id && key.inUse)
          ? "it still uses it"
          : null,
    );
    const { ring, renew } = this.#options;
    await ring.remove(id);
    const report = await this.#everywhere(members, "remove", id, id);
    await renew(id);
    return report;
  }

  async #everywhere(
    members: readonly NodeId[],
    step: Command["step"],
    what: string,
    id: string,
  ): Promise<KeyringReport> {
    const report = new Map<string, string | null>([
      [this.#options.scope.id, null],
    ]);
    for (const to of members) {
      const { keys = [], fault = null } = await this.#ask({ to, step, what });
      const isThere = keys.some((key) => key.id === id);
      const isDone = step === "remove" ? !isThere : isThere;
      report.set(to, fault ?? (isDone ? null : "it has not done it"));
    }
    return report;
  }

  /** The members, once all of them are ready for a step. */
  async #ready(
    step: string,
    id: string,
    faultOf: (keys: readonly KeyInfo[]) => string | null,
  ): Promise<readonly NodeId[]> {
    const members = await this.#members();
    const faults: string[] = [];
    for (const [member, { fault, keys = [] }] of members) {
      const why = fault ?? faultOf(keys);
      if (why !== null) faults.push(`node "${member}": ${why}`);
    }
    if (faults.length === 0) return [...members.keys()];
    throw new KeyringError(
      `Cannot ${step} the key "${id}": ${faults.join("; ")}`,
    );
  }

  /** What each member says of its keys; guests, whoever they are linked with, have none. */
  async #members(): Promise<ReadonlyMap<NodeId, Reply>> {
    const { scope, guests } = this.#options;
    const own = new Set(guests());
    const members = [...scope.members.keys()].filter((id) => !own.has(id));
    const replies = new Map(
      await Promise.all(members.map(async (to) => {
        const reply = await this.#ask({ to, step: "keys", what: "" });
        return [to, reply] as const;
      })),
    );
    for (const { guests = [] } of [...replies.values()]) {
      for (const guest of guests) replies.delete(guest);
    }
    return replies;
  }

  /** Has a member obey; never rejects. */
  async #ask(command: Command): Promise<Reply> {
    const { scope, ring } = this.#options;
    let fault = "";
    for (let tries = 0; tries < TRIES; tries++) {
      if (tries > 0) {
        await this.#pause(PAUSE);
      }
      try {
        const [inUse] = await ring.secretKeys();
        if (inUse === undefined) throw new TypeError("There is no secret");
        const sealed = await inUse.seal(JSON.stringify(command));
        return readReply(
          await scope.request(command.to, "do", sealed, { timeout: TIMEOUT }),
        );
      } catch (error) {
        fault = reasonOf(error);
      }
    }
    return { fault };
  }

  async #obey(sealed: unknown): Promise<Reply> {
    const { ring, renew, scope } = this.#options;
    try {
      const { step, what } = await this.#open(sealed);
      if (step === "install") await ring.install(what);
      if (step === "use") await ring.use(what);
      if (step === "remove") {
        await ring.remove(what);
        // The answer leaves by a link that is about to be made anew.
        this.#pause(PAUSE / 5).then(() => renew(what)).catch((error) =>
          scope.fault(error, `links were not made anew: ${reasonOf(error)}`)
        );
      }
      return { keys: await ring.keys(), guests: this.#options.guests() };
    } catch (error) {
      return { fault: reasonOf(error) };
    }
  }

  /** Resolves after so many ms, or once the node closes. */
  #pause(time: number): Promise<void> {
    const { clock, signal } = this.#options.scope;
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const end = (): void => {
        cancel();
        signal.removeEventListener("abort", end);
        resolve();
      };
      const cancel = clock.after(time, end);
      signal.addEventListener("abort", end);
    });
  }

  /** Only who knows a secret of the ring gives commands, and each to one node. */
  async #open(sealed: unknown): Promise<Command> {
    const { ring, scope } = this.#options;
    if (typeof sealed !== "string") throw new TypeError("It is not sealed");
    for (const key of await ring.secretKeys()) {
      const said = await key.open(sealed).catch(() => null);
      if (said === null) continue;
      const command = readCommand(said);
      if (command.to === scope.id) return command;
    }
    throw new TypeError(
      "It is not sealed for this node by a secret that it knows",
    );
  }
}

/** A step of a rotation was refused: a member is not ready for it. */
export class KeyringError extends Error {
  /** Makes the error; `message` is a sentence that names the members. */
  constructor(message: string) {
    super(message);
    this.name = "KeyringError";
  }
}

function readCommand(text: string): Command {
  const value: unknown = JSON.parse(text);
  if (
    isRecord(value) && typeof value.to === "string" &&
    typeof value.what === "string" && isStep(value.step)
  ) return { to: value.to, step: value.step, what: value.what };
  throw new TypeError("It is no command");
}

function isStep(value: unknown): value is Command["step"] {
  return value === "keys" || value === "install" || value === "use" ||
    value === "remove";
}

function readReply(value: unknown): Reply {
  if (!isRecord(value)) return { fault: "it answered nonsense" };
  if (typeof value.fault === "string") return { fault: value.fault };
  const keys = Array.isArray(value.keys) ? value.keys.filter(isKeyInfo) : [];
  const guests = Array.isArray(value.guests)
    ? value.guests.filter((id) => typeof id === "string")
    : [];
  return { keys, guests };
}

function isKeyInfo(value: unknown): value is KeyInfo {
  return isRecord(value) && typeof value.id === "string" &&
    typeof value.inUse === "boolean";
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
