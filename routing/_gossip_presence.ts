import { type Reader, Writer } from "./_bytes.ts";
import { BEATS, MAX_ITEMS, readItems } from "./_gossip_packets.ts";
import { IdMap } from "./_id_map.ts";
import { readId } from "./_peer_codec.ts";
import { epochOf } from "./incarnation.ts";
import type { NodeId, RouterContext } from "./types.ts";

/** Time between two beats of a node, in ms; ± 10 %, longer in networks of more nodes than this. */
const BEAT_INTERVAL = 15_000;
const BEAT_NODES = 500;
/** Who is not heard for this long is forgotten, in ms: three beats and a bit. */
const LIFE = 50_000;
/** How long news wait to leave together, in ms. */
const NEWS_DELAY = 20;
/** Time between two looks for who is silent, in ms. */
const LOOK_INTERVAL = 5000;
/** The highest beat that is believed: they begin at the start time in ms. */
const MAX_BEAT = 2 ** 52;
/** Nodes that are known, and those of them that are neither members nor neighbours. */
const MAX_KNOWN = 20_000;
const MAX_STRANGERS = 1024;

interface Known {
  /** The neighbour that brought its latest beat; null: there is no link to it any more. */
  via: NodeId | null;
  /** The latest beat; 0: none has come. */
  beat: number;
  heardAt: number;
}

/** What is asked of the program whose presence this is. */
export interface BeatsOwner {
  /** Hands a packet of the control lane to a neighbour. */
  send(to: NodeId, packet: Uint8Array): void;
  /** Whether the membership knows a node. */
  isMember(id: NodeId): boolean;
  /** Whether there is a link to a node. */
  isLinked(id: NodeId): boolean;
  /** There is a way to a node, maybe a new one. */
  found(id: NodeId): void;
  /** A node is not known any more. */
  gone(id: NodeId, reason: string): void;
}

/**
 * Which nodes are there, and from which neighbour they were heard: each tells a number
 * that rises, its beat, and all pass on those that are news. The way to a node is
 * back where its latest beat came from: whoever brought it had it before, so such ways do
 * not go in circles (as with the sequence numbers of DSDV, Perkins and Bhagwat, 1994).
 */
export class Beats {
  readonly nodes = new Set<NodeId>();
  readonly #context: RouterContext;
  readonly #owner: BeatsOwner;
  readonly #neighbours: ReadonlySet<NodeId>;
  readonly #known = new IdMap<Known>();
  readonly #news = new Set<NodeId>();
  #beat: number;
  #cancelNews: (() => void) | null = null;
  #cancelBeat: (() => void) | null = null;
  #cancelLook: (() => void) | null = null;
  readonly counters = { unknown: 0, absurd: 0 };

  /** `neighbours` is live. */
  constructor(
    context: RouterContext,
    neighbours: ReadonlySet<NodeId>,
    owner: BeatsOwner,
  ) {
    this.#context = context;
    this.#neighbours = neighbours;
    this.#owner = owner;
    this.#beat = epochOf(context.self.incarnation);
  }

  /** The neighbour that is the way to a node. */
  via(id: NodeId): NodeId | undefined {
    if (this.#owner.isLinked(id)) return id;
    return this.#known.get(id)?.via ?? undefined;
  }

  /** The next beat of this node. */
  next(): number {
    return ++this.#beat;
  }

  /** A node has become a neighbour. */
  up(id: NodeId): void {
    this.heard(id, id);
    this.#cancelBeat ??= this.#planBeat();
    this.#cancelLook ??= this.#planLook();
    this.#send(id, [this.#context.self.id, ...this.nodes]);
    this.#owner.found(id);
  }

  /** A link has ended. */
  down(id: NodeId): void {
    for (const known of this.#known.values()) {
      if (known.via === id) known.via = null;
    }
    if (this.#neighbours.size > 0) return;
    this.#stop();
    for (const other of [...this.nodes]) {
      this.forget(other, "this node has no links");
    }
  }

  /** Something else of a node came from a neighbour. */
  heard(id: NodeId, from: NodeId): void {
    const known = this.#known.get(id) ?? this.#add(id, 0, from);
    if (known === null) return;
    // Where it came from is no way: that node may itself send this way.
    known.heardAt = this.#context.clock.now();
  }

  /** A beat of another node came from a neighbour, so many ms old; whether it is news. */
  beaten(id: NodeId, beat: number, age: number, from: NodeId): boolean {
    if (id === this.#context.self.id) {
      this.#refute(beat);
      return false;
    }
    const before = this.#known.get(id)?.beat ?? 0;
    if (beat <= before || age >= this.#life) return false;
    if (beat > MAX_BEAT) {
      this.counters.absurd++;
      return false;
    }
    const known = this.#known.get(id) ?? this.#add(id, beat, from);
    if (known === null) return false;
    const heardAt = this.#context.clock.now() - age;
    known.heardAt = before === 0 ? heardAt : Math.max(known.heardAt, heardAt);
    known.beat = beat;
    known.via = from;
    this.#owner.found(id);
    return true;
  }

  receive(from: NodeId, reader: Reader): void {
    const beats = readItems(reader, MAX_ITEMS, (one) => ({
      id: readId(one),
      beat: one.u53(),
      age: one.u32(),
    }));
    reader.end();
    const stale: NodeId[] = [];
    for (const { id, beat, age } of beats) {
      if (this.beaten(id, beat, age, from)) this.#tell(id);
      else if (beat < (this.#known.get(id)?.beat ?? 0)) stale.push(id);
    }
    // What was made up has to reach the node itself, which then outbids it.
    if (stale.length > 0) this.#send(from, stale, true);
  }

  forget(id: NodeId, reason: string): void {
    if (!this.#known.delete(id)) return;
    this.nodes.delete(id);
    this.#news.delete(id);
    this.#owner.gone(id, reason);
  }

  close(): void {
    this.#stop();
    this.#known.clear();
    this.nodes.clear();
  }

  #stop(): void {
    this.#cancelNews?.();
    this.#cancelBeat?.();
    this.#cancelLook?.();
    this.#cancelNews = this.#cancelBeat = this.#cancelLook = null;
    this.#news.clear();
  }

  /** How much slower a large network beats. */
  get #pace(): number {
    return Math.max(1, this.nodes.size / BEAT_NODES);
  }

  get #life(): number {
    return LIFE * this.#pace;
  }

  #add(id: NodeId, beat: number, via: NodeId): Known | null {
    if (id === this.#context.self.id) return null;
    const isStranger = !this.#owner.isLinked(id) && !this.#owner.isMember(id);
    const most = isStranger ? MAX_STRANGERS : MAX_KNOWN;
    if (this.#known.size >= most) {
      this.counters.unknown++;
      return null;
    }
    const known = { via, beat, heardAt: this.#context.clock.now() };
    this.#known.set(id, known);
    this.nodes.add(id);
    return known;
  }

  /** Others know a later beat of this node: of its past, or made up. */
  #refute(beat: number): void {
    if (beat <= this.#beat) return;
    if (beat >= MAX_BEAT) {
      this.counters.absurd++;
      return;
    }
    this.#beat = beat + 1;
    this.#tell(this.#context.self.id);
  }

  #planBeat(): () => void {
    const delay = BEAT_INTERVAL * this.#pace *
      (0.9 + 0.2 * this.#context.random());
    return this.#context.clock.after(delay, () => {
      this.#cancelBeat = this.#planBeat();
      this.next();
      this.#tell(this.#context.self.id);
    });
  }

  #tell(id: NodeId): void {
    this.#news.add(id);
    this.#cancelNews ??= this.#context.clock.after(NEWS_DELAY, () => {
      this.#cancelNews = null;
      const news = [...this.#news];
      this.#news.clear();
      for (const neighbour of this.#neighbours) this.#send(neighbour, news);
    });
  }

  /** Tells a neighbour of some nodes; not of those that it told of, unless `isReply`. */
  #send(to: NodeId, ids: readonly NodeId[], isReply = false): void {
    const { self, clock } = this.#context;
    let writer = new Writer();
    let count = 0;
    for (const id of ids) {
      const known = this.#known.get(id);
      const beat = id === self.id ? this.#beat : known?.beat ?? 0;
      if (beat === 0 || (!isReply && (id === to || known?.via === to))) {
        continue;
      }
      const age = known === undefined ? 0 : clock.now() - known.heardAt;
      writer.string(id).u53(beat).u32(Math.ceil(age));
      if (++count < MAX_ITEMS) continue;
      this.#sendItems(to, count, writer.take());
      writer = new Writer();
      count = 0;
    }
    if (count > 0) this.#sendItems(to, count, writer.take());
  }

  #sendItems(to: NodeId, count: number, items: Uint8Array): void {
    this.#owner.send(to, new Writer().u8(BEATS).u8(count).raw(items).take());
  }

  #planLook(): () => void {
    return this.#context.clock.after(LOOK_INTERVAL, () => {
      this.#cancelLook = this.#planLook();
      const before = this.#context.clock.now() - this.#life;
      for (const [id, { heardAt }] of [...this.#known]) {
        if (heardAt > before || this.#owner.isLinked(id)) continue;
        this.forget(id, "it has been silent");
      }
    });
  }
}
