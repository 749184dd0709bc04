import { IdMap } from "./_id_map.ts";
import type {
  LinkEvent,
  MemberEvent,
  NodeId,
  Peer,
  RouterContext,
} from "./types.ts";

/** The nodes at the other end of a link. */
type Linked = Pick<ReadonlySet<NodeId>, "size" | "has">;

/** Links that a node of a relaying router keeps, unless told otherwise. */
export const LINKS = 3;
/** How long a node waits for others to dial first, in ms; up to twice that. */
const FIRST_DELAY = 250;
/** Bounds of the time between two attempts to reach a member, in ms. */
const MIN_RETRY = 250;
const MAX_RETRY = 10_000;

/** A member that could be dialled. */
interface Candidate {
  peer: Peer;
  /** Failed attempts in a row. */
  failures: number;
  /** When it may be dialled again. */
  from: number;
}

/**
 * Dials members while a node has fewer links than it is to have: at random, those first
 * that failed least often, each again after a random part of 250 ms, doubled with
 * each failure up to 10 s.
 */
export class Dialer {
  readonly #context: RouterContext;
  readonly #links: number;
  readonly #linked: Linked;
  readonly #candidates = new IdMap<Candidate>();
  readonly #dialling = new Set<NodeId>();
  #wakeAt = Infinity;
  #cancel: () => void = nothing;

  /** `linked`: the nodes at the other end of a link; live. */
  constructor(context: RouterContext, links: number, linked: Linked) {
    this.#context = context;
    this.#links = links;
    this.#linked = linked;
  }

  /** To be told after `linked` has changed. */
  link(event: LinkEvent): void {
    const id = event.type === "up" ? event.peer.id : event.id;
    this.#dialling.delete(id);
    const candidate = this.#candidates.get(id);
    if (candidate !== undefined) {
      if (event.type === "unreachable") this.#postpone(candidate);
      else candidate.failures = 0;
    }
    this.#plan();
  }

  member(event: MemberEvent): void {
    const { member } = event;
    const known = this.#candidates.get(member.id);
    if (event.type === "leave") this.#candidates.delete(member.id);
    else if (known !== undefined) {
      known.peer = member;
      known.failures = 0;
      known.from = 0;
    } else if (this.#links > 0) {
      const from = this.#context.clock.now() +
        FIRST_DELAY * (1 + this.#context.random());
      this.#candidates.set(member.id, { peer: member, failures: 0, from });
    }
    this.#plan();
  }

  close(): void {
    this.#cancel();
    this.#candidates.clear();
  }

  #postpone(candidate: Candidate): void {
    const longest = Math.min(MAX_RETRY, MIN_RETRY * 2 ** candidate.failures);
    candidate.failures++;
    candidate.from = this.#context.clock.now() +
      longest * this.#context.random();
  }

  #plan(): void {
    const earliest = this.#wanted() > 0
      ? Math.min(...this.#open().map(({ from }) => from))
      : Infinity;
    if (earliest === this.#wakeAt) return;
    this.#cancel();
    this.#wakeAt = earliest;
    if (earliest === Infinity) return;
    const delay = Math.max(0, earliest - this.#context.clock.now());
    this.#cancel = this.#context.clock.after(delay, () => this.#dial());
  }

  /** How many more links there are to be. */
  #wanted(): number {
    return this.#links - this.#linked.size - this.#dialling.size;
  }

  /** Those who can be dialled, now or later. */
  #open(): Candidate[] {
    return [...this.#candidates.values()].filter(({ peer }) =>
      peer.addresses.length > 0 && !this.#linked.has(peer.id) &&
      !this.#dialling.has(peer.id)
    );
  }

  #dial(): void {
    this.#wakeAt = Infinity;
    const now = this.#context.clock.now();
    const due = this.#open().filter(({ from }) => from <= now);
    const least = Math.min(...due.map(({ failures }) => failures));
    const first = due.filter(({ failures }) => failures === least);
    const chosen = first[Math.floor(this.#context.random() * first.length)];
    if (chosen !== undefined && this.#wanted() > 0) {
      this.#dialling.add(chosen.peer.id);
      this.#context.links.connect(chosen.peer);
    }
    this.#plan();
  }
}

function nothing(): void {}
