/** What the tests of swim() share. It registers none of its own. */
import { assertEquals } from "@std/assert";
import { Reader, Writer } from "./_bytes.ts";
import { readId } from "./_peer_codec.ts";
import {
  ACK,
  ALIVE,
  aliveItem,
  ANSWER,
  ASK,
  DEAD,
  Item,
  LEFT,
  MORE,
  NEWS,
  type News,
  PAGE,
  PING,
  readNews,
  SUSPECT,
} from "./_swim_codec.ts";
import { incarnationAt, nextIncarnation } from "./incarnation.ts";
import { peerRouter } from "./peer.ts";
import { swim, type SwimOptions } from "./swim.ts";
import {
  seededRandom,
  VirtualClock,
  VirtualNetwork,
  type VirtualNetworkOptions,
} from "./testing.ts";
import type {
  Counted,
  MemberEvent,
  Membership,
  NodeId,
  Peer,
  WaryMembership,
} from "./types.ts";

export const INCARNATION: number = incarnationAt(Date.UTC(2026, 0, 1));
export const HOUR = 3_600_000 * 4096;
export const REACHED = 0;
export const SILENT = 1;
export const LOST = 2;
export const HELPLESS = 3;
export const SETTLED = 1;
export const WANTED = 1;

/** A message that the node under test sent; what its type does not have is empty. */
export interface Sent {
  readonly to: NodeId;
  readonly type: number;
  readonly flags: number;
  /** What is known, asked, answered, or where it goes on. */
  readonly number: number;
  readonly target: NodeId;
  readonly outcome: number;
  readonly news: readonly News[];
  readonly length: number;
}

/** A membership of node "self" whose other nodes are the test. */
export class Bench {
  readonly clock = new VirtualClock();
  readonly events: string[] = [];
  readonly dialled: string[] = [];
  /** Whom it asked for a link with, as others told of them. */
  readonly met: Peer[] = [];
  /** Nodes to which there is no way. */
  readonly unreachable = new Set<NodeId>();
  readonly membership: Membership & Partial<WaryMembership & Counted>;
  self: Peer = peer("self");
  #sent: Sent[] = [];
  /** How many of these were looked at. */
  #seen = 0;

  /** `isDirect`: only a link makes a way. */
  constructor(options: SwimOptions = {}, isDirect = false) {
    const self = () => this.self;
    this.membership = swim(options)({
      get self() {
        return self();
      },
      clock: this.clock,
      random: seededRandom(1),
      send: (to, message) => this.#send(to, message),
      mayTell: () => true,
      reaches: (id) => !this.unreachable.has(id),
      ...(isDirect && { meet: (peer: Peer) => this.met.push(peer) }),
      refute: (accused) => {
        this.self = { ...this.self, incarnation: nextIncarnation(accused) };
        this.membership.update();
      },
      changed: (event) => this.events.push(labelOf(event)),
      connect: ({ id }) => this.dialled.push(id),
    });
  }

  /** Whom others tell of, and who is no member. */
  get candidates(): string[] {
    return [...this.membership.candidates?.keys() ?? []];
  }

  get counters(): Readonly<Record<string, number>> {
    return this.membership.counters ?? {};
  }

  up(...ids: NodeId[]): void {
    for (const id of ids) this.membership.link({ type: "up", peer: peer(id) });
  }

  /** Links come up, first exchanges take place, and all is quiet. */
  settle(...ids: NodeId[]): void {
    this.up(...ids);
    for (const id of ids) this.page(id, []);
    this.pass(5000, ...ids);
    this.take();
    this.sent();
  }

  /** A link comes up to one that was told of. */
  linked(peer: Peer): void {
    this.unreachable.delete(peer.id);
    this.membership.link({ type: "up", peer });
  }

  down(id: NodeId): void {
    this.unreachable.add(id);
    this.membership.link({ type: "down", id, reason: "end" });
  }

  refused(id: NodeId): void {
    this.membership.link({ type: "unreachable", id, reason: "refused" });
  }

  /** Lets time pass, in which some nodes answer each ping at once. */
  pass(ms: number, ...alive: NodeId[]): void {
    for (let passed = 0; passed < ms; passed += 10) {
      this.clock.tick(10);
      for (const { to, type } of this.#sent.slice(this.#seen)) {
        if (type === PING && alive.includes(to)) this.membership.heard(to);
      }
      this.#seen = this.#sent.length;
    }
  }

  /** Lets time pass until it sends a message of a type to a node. */
  until(type: number, to: NodeId, ...alive: NodeId[]): Sent {
    for (let passed = 0; passed < 120_000; passed += 10) {
      const found = this.#sent.find((sent) =>
        sent.type === type && sent.to === to
      );
      if (found !== undefined) return found;
      this.pass(10, ...alive);
    }
    throw new Error(`it sent "${to}" no message of type ${type}`);
  }

  news(from: NodeId, ...news: News[]): void {
    this.#receive(from, start(NEWS), news);
  }

  ping(from: NodeId, known: number, flags = 0, digest = 0): void {
    this.#receive(from, start(PING).u8(flags).u53(known).u32(digest), []);
  }

  ask(from: NodeId, number: number, target: NodeId): void {
    this.#receive(from, start(ASK).u32(number).string(target).u53(0), []);
  }

  answer(from: NodeId, number: number, outcome: number): void {
    this.#receive(from, start(ANSWER).u32(number).u8(outcome), []);
  }

  page(from: NodeId, peers: readonly Peer[], next = 0, flags = 0): void {
    this.#receive(from, start(PAGE).u8(flags).u53(next), peers.map(alive));
  }

  /** Takes the events since the last call. */
  take(): string[] {
    return this.events.splice(0);
  }

  /** Takes what was sent since the last call: of one type, or all. */
  sent(type?: number): Sent[] {
    const sent = this.#sent;
    this.#sent = [];
    this.#seen = 0;
    return sent.filter((each) => type === undefined || each.type === type);
  }

  /** Takes whom it told directly that somebody is accused, and how. */
  warned(): string[] {
    return this.sent(NEWS).flatMap(({ to, news }) =>
      news.filter(({ kind }) => kind !== ALIVE).map(({ kind, id }) =>
        `${to}: ${["", "", "suspect", "dead", "left"][kind]} ${id}`
      )
    );
  }

  #receive(from: NodeId, head: Writer, news: readonly News[]): void {
    for (const each of news) {
      head.raw(new Item(each).bytesFor("self", () => true));
    }
    this.membership.receive(from, head.take());
  }

  #send(to: NodeId, message: Uint8Array): boolean {
    if (this.unreachable.has(to)) return false;
    this.#sent.push(readSent(to, message));
    return true;
  }
}

export function start(type: number): Writer {
  return new Writer().u8(1).u8(type);
}

function readSent(to: NodeId, message: Uint8Array): Sent {
  const reader = new Reader(message);
  assertEquals(reader.u8(), 1);
  const type = reader.u8();
  const isFlagged = type === PING || type === ACK || type === PAGE;
  const flags = isFlagged ? reader.u8() : 0;
  const number = type === ASK || type === ANSWER
    ? reader.u32()
    : type === PING || type === PAGE || type === MORE
    ? reader.u53()
    : 0;
  const target = type === ASK ? readId(reader) : "";
  const outcome = type === ANSWER ? reader.u8() : -1;
  if (type === PING || type === ACK) reader.u32();
  if (type === ASK) reader.u53();
  const news = readNews(reader, "self", { wants: () => true });
  const { length } = message;
  return { to, type, flags, number, target, outcome, news, length };
}

export function peer(
  id: NodeId,
  incarnation = INCARNATION,
  meta?: Uint8Array,
): Peer {
  const addresses = [`virtual://${id}`];
  return meta === undefined
    ? { id, incarnation, addresses }
    : { id, incarnation, addresses, meta };
}

export function alive(told: Peer): News {
  const { news } = aliveItem(told);
  return news;
}

export function suspect(
  id: NodeId,
  accusers: NodeId[],
  inc = INCARNATION,
): News {
  return { kind: SUSPECT, id, incarnation: inc, accusers };
}

export function dead(id: NodeId, incarnation = INCARNATION): News {
  return { kind: DEAD, id, incarnation };
}

export function left(id: NodeId, incarnation = INCARNATION): News {
  return { kind: LEFT, id, incarnation };
}

export function labelOf(event: MemberEvent): string {
  const label = `${event.type} ${event.member.id}`;
  return event.type === "leave" ? `${label} ${event.reason}` : label;
}

/** A cluster in virtual time, in which everybody came by way of the first. */
export function cluster(
  count: number,
  options: VirtualNetworkOptions = {},
): VirtualNetwork {
  const network = new VirtualNetwork({ outbox: 10_000, ...options });
  const ids = Array.from({ length: count }, (_, i) => `n${i}`);
  for (const id of ids) {
    network.add(id, { router: peerRouter(), membership: swim() });
  }
  for (const id of ids.slice(1)) network.connect(id, "n0");
  network.clock.until(() => isOneView(network), 60_000);
  network.clock.tick(5000);
  return network;
}

export function isOneView(network: VirtualNetwork): boolean {
  const running = network.nodes.filter((node) => node.running);
  return running.every(({ members }) => members.size === running.length - 1) &&
    running.every((node) =>
      running.every(({ id, self }) =>
        id === node.id ||
        node.members.get(id)?.incarnation === self.incarnation
      )
    );
}
