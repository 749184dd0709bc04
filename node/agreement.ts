import type { NodeId } from "@devts/routing";
import type { Scope } from "./behaviour.ts";
import { compare, type Incompatibility } from "./compatibility.ts";
import { type Contract, MAX_DESCRIPTION } from "./contract.ts";
import { reasonOf, RequestError } from "./errors.ts";

/** The name under which nodes tell each other of their contracts. */
export const AGREEMENT = "devts.contract";

/** How long a node may take to tell its contract, in ms. */
const TIMEOUT = 10_000;
/** A node that has not told it is asked again, so many times, after so many ms. */
const TRIES = 5;
const PAUSE = 5_000;

/** What nodes ask each other. */
interface Questions {
  /** Replies with the contract, unless it has the digest that the asker names. */
  describe(digest: string): { digest: string; description?: string };
}

/** What is known of the contract of one start of another node. */
interface Known {
  incompatible: readonly Incompatibility[];
}

/** What an agreement is made with. */
export interface AgreementOptions {
  readonly contract: Contract;
  readonly scope: Scope<Questions>;
  /** What the handshake said of a neighbour; null: it is none, or a guest, or said nothing. */
  digest(id: NodeId): string | null;
  /** A node that may not be asked. */
  isGuest(id: NodeId): boolean;
  /** Which events fit which node has changed. */
  changed(): void;
  /** A node's contract does not fit. */
  incompatible(id: NodeId, events: readonly Incompatibility[]): void;
}

/**
 * Finds out which events of the other nodes' contracts do not fit. Where the handshake
 * shows that both are the same, nothing is sent; otherwise a node is asked for what it
 * says of its events, and each side compares by itself. A node without a contract fits.
 */
export class Agreement {
  readonly #options: AgreementOptions;
  /** As many as there are members. */
  readonly #known = new Map<NodeId, Known>();

  constructor(options: AgreementOptions) {
    this.#options = options;
    const { scope, contract } = options;
    scope.on("describe", (digest) => {
      const isSame = digest === contract.digest;
      const { description } = contract;
      return { digest: contract.digest, ...(!isSame && { description }) };
    });
    scope.onSystem("join", ({ id }) => this.#meet(id));
    scope.onSystem("leave", ({ member }) => this.#forget(member.id));
  }

  /** Why an event of a node is refused; null: it is not. */
  refusal(from: NodeId, event: string): string | null {
    return this.#find(from, event, "peer", "reply");
  }

  /** Why an event is not sent to a node; null: it may. */
  objection(to: NodeId, event: string): string | null {
    return this.#find(to, event, "self", "reply");
  }

  #find(
    id: NodeId,
    event: string,
    sender: Incompatibility["sender"],
    except: Incompatibility["part"],
  ): string | null {
    const incompatible = this.#known.get(id)?.incompatible;
    if (incompatible === undefined || incompatible.length === 0) return null;
    const found = incompatible.find((one) =>
      one.event === event && one.sender === sender && one.part !== except
    );
    return found?.message ?? null;
  }

  #forget(id: NodeId): void {
    const known = this.#known.get(id);
    this.#known.delete(id);
    if (known && known.incompatible.length > 0) this.#options.changed();
  }

  #meet(id: NodeId): void {
    this.#forget(id);
    if (this.#options.isGuest(id)) return;
    const known: Known = { incompatible: [] };
    this.#known.set(id, known);
    if (this.#options.digest(id) === this.#options.contract.digest) return;
    this.#ask(id, known, TRIES);
  }

  /** A promise of nobody: it never rejects. */
  async #ask(id: NodeId, known: Known, tries: number): Promise<void> {
    const { contract, scope } = this.#options;
    try {
      const reply = await scope.request(id, "describe", contract.digest, {
        timeout: TIMEOUT,
        signal: scope.signal,
      });
      this.#learn(id, known, reply);
    } catch (error) {
      if (scope.signal.aborted || this.#known.get(id) !== known) return;
      // It has no contract.
      if (error instanceof RequestError && error.reason === "unhandled") return;
      if (tries > 1) return this.#askLater(id, known, tries - 1);
      const why = reasonOf(error);
      scope.logger.warn(`node "${id}" does not tell its contract: ${why}`);
    }
  }

  #askLater(id: NodeId, known: Known, tries: number): void {
    const { scope } = this.#options;
    const cancel = scope.clock.after(PAUSE, () => {
      scope.signal.removeEventListener("abort", cancel);
      if (this.#known.get(id) === known) this.#ask(id, known, tries);
    });
    scope.signal.addEventListener("abort", cancel, { once: true });
  }

  #learn(id: NodeId, known: Known, reply: unknown): void {
    const { contract } = this.#options;
    // The node may be gone, or back with another contract, by now.
    if (this.#known.get(id) !== known) return;
    const description = descriptionIn(reply, contract.digest);
    if (description === null) return;
    known.incompatible = compare(contract.description, description);
    if (known.incompatible.length === 0) return;
    this.#options.changed();
    this.#options.incompatible(id, known.incompatible);
  }
}

/** The description in a reply; null: the contracts are the same. */
function descriptionIn(reply: unknown, digest: string): string | null {
  if (typeof reply === "object" && reply !== null) {
    if ("digest" in reply && reply.digest === digest) return null;
    if (
      "description" in reply && typeof reply.description === "string" &&
      reply.description.length <= MAX_DESCRIPTION
    ) return reply.description;
  }
  throw new SyntaxError("it says nothing that can be understood");
}
