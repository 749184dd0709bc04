import { Writer } from "./_bytes.ts";
import {
  ACK,
  ANSWER,
  ASK,
  type Item,
  MAX_MESSAGE,
  type MayTell,
  MORE,
  NEWS,
  PAGE,
  PING,
  VERSION,
} from "./_swim_codec.ts";
import { retransmitLimit } from "./_swim_formulas.ts";
import type { Gossip } from "./_swim_gossip.ts";
import type { Roster } from "./_swim_roster.ts";
import type { MembershipContext, NodeId } from "./types.ts";

/** Flag of `PING` and `ACK`: nothing has changed for a while, nor is about to. */
export const SETTLED = 1;
/** Flag of `PAGE`: send me yours. */
export const WANTED = 1;

/** Version, type, flags and position. */
const PAGE_HEAD = 11;

/** What a node says of all it knows, with a ping and its answer. */
export interface View {
  readonly flags: number;
  readonly digest: number;
}

/** What the post counts. */
export interface PostCounters {
  /** Messages for which there was no way. */
  unsent: number;
}

/** Writes messages, lets news travel with them, and sends them. */
export class Post {
  readonly #context: MembershipContext;
  readonly #roster: Roster;
  readonly #gossip: Gossip;
  readonly #mayTell: MayTell;
  readonly #writer = new Writer();
  readonly #counters: PostCounters;

  constructor(
    context: MembershipContext,
    roster: Roster,
    gossip: Gossip,
    counters: PostCounters,
  ) {
    this.#context = context;
    this.#counters = counters;
    this.#roster = roster;
    this.#gossip = gossip;
    this.#mayTell = (to, address, of) =>
      context.mayTell(to, address) &&
      (of === to || of === context.self.id ||
        (context.mayPass?.(of, address) ?? true));
  }

  /** `known`: the incarnation under which it is known, 0 to be told again. */
  ping(to: NodeId, known: number, view: View, first: Item | null): boolean {
    this.#start(PING).u8(view.flags).u53(known).u32(view.digest >>> 0);
    return this.#sendNews(to, first);
  }

  ack(to: NodeId, view: View, first: Item | null): boolean {
    this.#start(ACK).u8(view.flags).u32(view.digest >>> 0);
    return this.#sendNews(to, first);
  }

  /** Asks for a sign of life of a member that is known under an incarnation. */
  ask(helper: NodeId, number: number, target: NodeId, known: number): boolean {
    this.#start(ASK).u32(number).string(target).u53(known);
    return this.#sendNews(helper, null);
  }

  answer(to: NodeId, number: number, outcome: number, item: Item | null): void {
    this.#start(ANSWER).u32(number).u8(outcome);
    this.#sendNews(to, item);
  }

  /** What everybody is told. */
  gossip(to: NodeId): boolean {
    this.#start(NEWS);
    return this.#sendNews(to, null);
  }

  /** What one node is told, in as many messages as it takes. */
  items(to: NodeId, items: readonly Item[]): boolean {
    let isSent = true;
    let length = this.#start(NEWS).length;
    for (const item of items) {
      const bytes = item.bytesFor(to, this.#mayTell);
      if (length + bytes.length > MAX_MESSAGE) {
        isSent = this.#send(to) && isSent;
        this.#start(NEWS);
      }
      length = this.#writer.raw(bytes).length;
    }
    return this.#send(to) && isSent;
  }

  /** This node and the members behind a position in the roster, as many as fit. */
  page(to: NodeId, own: Item, after: number, flags: number): boolean {
    const parts: Uint8Array[] = [];
    if (after === 0) parts.push(own.bytesFor(to, this.#mayTell));
    const next = this.#fill(parts, to, after);
    const writer = this.#start(PAGE).u8(flags).u53(next);
    for (const bytes of parts) writer.raw(bytes);
    return this.#send(to);
  }

  /** Asks for the page after a position. */
  more(to: NodeId, after: number): boolean {
    this.#start(MORE).u53(after);
    return this.#send(to);
  }

  /** Returns the position behind which there is more, or 0. */
  #fill(parts: Uint8Array[], to: NodeId, after: number): number {
    let room = MAX_MESSAGE - PAGE_HEAD;
    for (const bytes of parts) room -= bytes.length;
    let last = after;
    for (
      const { serial, item, suspicion, isVouched } of this.#roster.values()
    ) {
      // Of whom only others tell, they tell themselves.
      if (serial <= after || isVouched) continue;
      const alive = item.bytesFor(to, this.#mayTell);
      const suspect = suspicion?.item.bytesFor(to, this.#mayTell);
      room -= alive.length + (suspect?.length ?? 0);
      if (room < 0) return last;
      parts.push(alive);
      if (suspect !== undefined) parts.push(suspect);
      last = serial;
    }
    return 0;
  }

  #start(type: number): Writer {
    return this.#writer.u8(VERSION).u8(type);
  }

  #sendNews(to: NodeId, first: Item | null): boolean {
    if (first !== null) this.#writer.raw(first.bytesFor(to, this.#mayTell));
    this.#gossip.write(this.#writer, to, this.#mayTell);
    if (!this.#send(to)) return false;
    this.#gossip.sent(retransmitLimit(this.#roster.company + 1));
    return true;
  }

  #send(to: NodeId): boolean {
    if (this.#context.send(to, this.#writer.take())) return true;
    this.#counters.unsent++;
    return false;
  }
}
