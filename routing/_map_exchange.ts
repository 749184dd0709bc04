import { Epochs } from "./_epochs.ts";
import {
  type Advert,
  compareVersions,
  makeAdvert,
  MAX_SEQUENCE,
  readAdvert,
  readVersion,
  type Version,
} from "./_map_advert.ts";
import { Bucket } from "./_map_bucket.ts";
import type { Chart, Place } from "./_map_chart.ts";
import type { Links, MapCounters } from "./_map_links.ts";
import type { Neighbour } from "./_map_neighbour.ts";
import {
  ADVERTS,
  type Aged,
  ANSWER,
  HELLO,
  type Page,
  SUMMARY,
} from "./_map_packets.ts";
import { epochOf } from "./incarnation.ts";
import type { NodeId, RouterContext } from "./types.ts";

/** Time between two adverts of a node that tell the same, in ms; ± 10 %. */
const REFRESH = 30_000;
/** An advert counts for so long, in ms: three refreshes may be lost. */
const LIFE = 100_000;
/** One that ends so soon is not passed on, in ms: it would come and go in turns. */
const LAST_MOMENTS = 5_000;
/** Changes that this node tells at once, and per second. */
const MAX_CHANGES = 3;
const CHANGES_PER_SECOND = 5;
/** Time between two summaries to a neighbour, in ms. */
const SUMMARY_INTERVAL = 1000;
/** A neighbour is asked although the map keeps changing after so long, in ms. */
const MAX_QUIET = 5000;
/** Nodes on a page of a summary. */
const PAGE_SIZE = 200;
/** Bytes of adverts after which the next ones take another packet. */
const PACKET_SIZE = 16 * 1024;
/** How far a sequence number may jump. */
const MAX_JUMP = 2 ** 20;
/** Links that adverts name, on average, when there is no room for more. */
const LINKS_PER_NODE = 64;

/** What the exchange is made with. */
export interface ExchangeOptions {
  readonly context: RouterContext;
  readonly chart: Chart;
  readonly links: Links;
  readonly maxNodes: number;
  readonly counters: MapCounters;
  /** Whether packets can be sent to a node: it is not taken off for another. */
  isReached(place: Place): boolean;
}

/** Keeps the map up: tells of this node's links, and passes on what others tell. */
export class Exchange {
  readonly #options: ExchangeOptions;
  readonly #changes = new Bucket(MAX_CHANGES, CHANGES_PER_SECOND);
  readonly #epochs: Epochs;
  #version: Version;
  /** The epoch at which this node started, by its own clock. */
  readonly #epoch: number;
  #refreshAt = 0;
  /** The map's hash at the last tick, and when neighbours were last asked for theirs. */
  #lastHash = -1;
  #askedAt = 0;
  #cancel: (() => void) | null = null;

  constructor(options: ExchangeOptions) {
    const { self } = options.context;
    this.#options = options;
    this.#epochs = new Epochs(options.context);
    this.#version = { incarnation: self.incarnation, sequence: 0 };
    this.#epoch = epochOf(self.incarnation);
    this.#renew();
  }

  /** Whether others mean this life of the node by an epoch. */
  isOwnLife(epoch: number): boolean {
    const { self } = this.#options.context;
    return epoch === this.#epoch || epoch === epochOf(self.incarnation) ||
      epoch === epochOf(this.#version.incarnation);
  }

  get #now(): number {
    return this.#options.context.clock.now();
  }

  /** Ends its timers. */
  close(): void {
    this.#cancel?.();
  }

  // -- Own links --

  /** A link came up. */
  up(neighbour: Neighbour): void {
    this.#epochs.linked(neighbour.incarnation);
    this.tell();
    this.#ask(neighbour);
  }

  /** This node's links have changed. */
  tell(): void {
    this.#renew();
    this.#announce();
  }

  /** Puts this node on the map as it is now. */
  #renew(): void {
    const { context: { self, random }, chart, links } = this.#options;
    const { incarnation, sequence } = this.#version;
    this.#version = sequence < MAX_SEQUENCE
      ? { incarnation, sequence: sequence + 1 }
      : { incarnation: incarnation + 1, sequence: 0 };
    const costs = links.open()
      .map((one): [NodeId, number] => [one.id, one.told]);
    chart.set(makeAdvert(self.id, this.#version, costs), this.#now);
    this.#refreshAt = this.#now + REFRESH * (0.9 + 0.2 * random());
  }

  /** Tells the neighbours of this node's links: at once, unless they change too often. */
  #announce(): void {
    if (this.#cancel !== null) return;
    const { chart, context: { clock, self } } = this.#options;
    if (!this.#changes.take(this.#now)) {
      this.#cancel = clock.after(1000 / CHANGES_PER_SECOND, () => {
        this.#cancel = null;
        this.#announce();
      });
      return;
    }
    const own = chart.get(self.id);
    if (own !== undefined) this.#flood(own);
  }

  #flood(place: Place, except?: NodeId): void {
    const talk = { kind: ADVERTS, adverts: [this.#aged(place)] } as const;
    this.#options.links.talkToAll(talk, except);
  }

  #aged({ advert, bornAt }: Place): Aged {
    return { age: Math.ceil(this.#now - bornAt), bytes: advert.bytes };
  }

  // -- Time --

  /** Now and then: refreshes, forgets, and asks those who are stuck, or whose map may differ. */
  tick(): void {
    const { chart, links } = this.#options;
    const isRefresh = this.#now >= this.#refreshAt;
    if (isRefresh) this.tell();
    this.#forget();
    const isQuiet = chart.hash === this.#lastHash ||
      this.#now - this.#askedAt >= MAX_QUIET;
    this.#lastHash = chart.hash;
    if (isQuiet) this.#askedAt = this.#now;
    for (const neighbour of links.neighbours.values()) {
      const isDue = isQuiet && neighbour.isDue(chart.hash, this.#now);
      const { isWaiting, isUnsure, guard: { isStuck } } = neighbour;
      if (isRefresh || isDue || isWaiting || isUnsure || isStuck) {
        this.#ask(neighbour);
      }
    }
  }

  #forget(): void {
    const { chart, context } = this.#options;
    for (const place of chart.places()) {
      const isOld = this.#now - place.bornAt >= LIFE;
      if (isOld && place.id !== context.self.id) chart.delete(place);
    }
  }

  #ask(neighbour: Neighbour): void {
    const { id, link } = neighbour;
    const token = neighbour.ask(this.#now);
    this.#options.links.talk(id, { kind: HELLO, token, link });
  }

  // -- What neighbours say --

  /** A neighbour asks for this map's hash. What it was told before has reached it. */
  hello(neighbour: Neighbour, token: number, link: number): void {
    const { chart: { hash }, links } = this.#options;
    neighbour.theirLink = link;
    links.talk(neighbour.id, { kind: ANSWER, token, hash });
  }

  answer(neighbour: Neighbour, token: number, hash: number): void {
    const own = this.#options.chart.hash;
    if (!neighbour.answer(token, hash, own, this.#now)) return;
    if (hash !== own) this.#summarize(neighbour);
    const { isSilent, isUnsure, measuredCost, cost } = neighbour;
    neighbour.isSilent = false;
    if (!isUnsure) neighbour.cost = measuredCost;
    if (isSilent || neighbour.cost !== cost) this.tell();
  }

  #summarize(neighbour: Neighbour): void {
    if (this.#now - neighbour.summarizedAt < SUMMARY_INTERVAL) return;
    neighbour.summarizedAt = this.#now;
    const places = [...this.#options.chart.places()]
      .sort((a, b) => a.id < b.id ? -1 : 1);
    for (let start = 0; start < places.length; start += PAGE_SIZE) {
      const end = start + PAGE_SIZE;
      this.#options.links.talk(neighbour.id, {
        kind: SUMMARY,
        page: {
          after: places[start - 1]?.id ?? "",
          upTo: end < places.length ? places[end - 1]?.id ?? "" : "",
          versions: new Map(
            places.slice(start, end).map(({ id, advert }) => [id, advert]),
          ),
        },
      });
    }
  }

  /** Sends a neighbour what it lacks, and tells it what this node lacks. */
  summary(neighbour: Neighbour, { after, upTo, versions }: Page): void {
    const { chart, counters } = this.#options;
    if (!neighbour.pages.take(this.#now)) {
      counters.flooded++;
      return;
    }
    const lacking = [...chart.places()].filter(({ id, advert }) => {
      if (id <= after || (upTo !== "" && id > upTo)) return false;
      const known = versions.get(id);
      return known === undefined || compareVersions(advert, known) > 0;
    });
    this.#send(neighbour, lacking);
    for (const [id, version] of versions) {
      const own = chart.get(id)?.advert;
      if (own !== undefined && compareVersions(own, version) >= 0) continue;
      return this.#summarize(neighbour);
    }
  }

  /** Sends adverts to a neighbour, several in a packet. */
  #send(neighbour: Neighbour, places: readonly Place[]): void {
    let adverts: Aged[] = [];
    let size = 0;
    for (const place of places) {
      const aged = this.#aged(place);
      if (isLast(aged.age) || !neighbour.pushes.take(this.#now)) continue;
      adverts.push(aged);
      size += aged.bytes.length;
      if (size < PACKET_SIZE) continue;
      this.#options.links.talk(neighbour.id, { kind: ADVERTS, adverts });
      adverts = [];
      size = 0;
    }
    if (adverts.length === 0) return;
    this.#options.links.talk(neighbour.id, { kind: ADVERTS, adverts });
  }

  /**
   * Takes an advert from a neighbour, and passes it on if it is news.
   *
   * @throws {MalformedError} If it is malformed.
   */
  learn(neighbour: Neighbour, { age, bytes }: Aged): void {
    const { chart, counters, context } = this.#options;
    if (!neighbour.adverts.take(this.#now)) {
      counters.flooded++;
      return;
    }
    const version = readVersion(bytes);
    if (isLast(age)) return;
    const known = chart.get(version.origin);
    const newer = known === undefined
      ? 1
      : compareVersions(version, known.advert);
    if (known !== undefined && newer < 0) this.#send(neighbour, [known]);
    if (version.origin === context.self.id) {
      return this.#outrank(version, bytes);
    }
    if (newer <= 0 || !this.#isAdmitted(version, known)) return;
    // A copy: a view would keep the whole packet alive as long as the advert.
    const advert = readAdvert(bytes.slice());
    if (!this.#makeRoom(advert, known)) {
      counters.full++;
      return;
    }
    chart.set(advert, this.#now - age);
    const place = chart.get(advert.origin);
    if (place !== undefined) this.#flood(place, neighbour.id);
  }

  /** Others have an advert of this node that it did not make, or not in this life. */
  #outrank(version: Version, bytes: Uint8Array): void {
    const { chart, context, counters } = this.#options;
    const own = chart.get(context.self.id)?.advert;
    if (own === undefined) return;
    const newer = compareVersions(version, own);
    if (newer < 0 || (newer === 0 && isSame(bytes, own.bytes))) return;
    if (!this.#isPlausible(version)) {
      counters.refused++;
      return;
    }
    this.#version = version;
    this.tell();
  }

  #isAdmitted(version: Version, known: Place | undefined): boolean {
    const { counters } = this.#options;
    if (!this.#isPlausible(version) || isJump(version, known?.advert)) {
      counters.refused++;
      return false;
    }
    if (known === undefined || known.changes.take(this.#now)) return true;
    counters.flooded++;
    return false;
  }

  #isPlausible({ incarnation }: Version): boolean {
    return this.#epochs.isPlausible(epochOf(incarnation));
  }

  /** Whether an advert fits on the map; takes off nodes that nobody reaches. */
  #makeRoom(advert: Advert, known: Place | undefined): boolean {
    const { chart, maxNodes } = this.#options;
    const maxLinks = LINKS_PER_NODE * maxNodes;
    const isFull = () =>
      chart.size + (known === undefined ? 1 : 0) > maxNodes ||
      chart.links + advert.links.size - (known?.advert.links.size ?? 0) >
        maxLinks;
    if (!isFull()) return true;
    for (const place of chart.places()) {
      if (place === known || this.#options.isReached(place)) continue;
      chart.delete(place);
      if (!isFull()) return true;
    }
    return false;
  }
}

function isLast(age: number): boolean {
  return age >= LIFE - LAST_MOMENTS;
}

function isJump(version: Version, known: Version | undefined): boolean {
  return known !== undefined && version.incarnation === known.incarnation &&
    version.sequence - known.sequence > MAX_JUMP;
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
