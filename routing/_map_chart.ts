import { IdMap } from "./_id_map.ts";
import type { Advert } from "./_map_advert.ts";
import { Bucket } from "./_map_bucket.ts";
import { addHash, hashBytes, hashNumbers, removeHash } from "./_map_hash.ts";
import type { NodeId } from "./types.ts";

/** Changes of one node that are taken at once, and per second. */
const MAX_CHANGES = 32;
const CHANGES_PER_SECOND = 10;

/** A node on the map. */
export interface Place {
  readonly id: NodeId;
  /** Of its id. */
  readonly hash: number;
  /** The newest that it told. */
  advert: Advert;
  /** When it told that, by this node's clock. */
  bornAt: number;
  /** Since when it is known in this incarnation. */
  since: number;
  /** Its links that both ends tell of, and what each costs from here, as it is told. */
  readonly ways: Map<Place, number>;
  /** Limits how often it may change. */
  readonly changes: Bucket;
}

/**
 * The newest advert of each node, and the links that follow from them: one counts
 * only when both ends tell of it, so that neither the dead nor liars draw packets.
 */
export class Chart {
  readonly #self: NodeId;
  readonly #places = new IdMap<Place>();
  #links = 0;
  #hash = 0;
  #digest = 0;
  #version = 0;

  constructor(self: NodeId) {
    this.#self = self;
  }

  /** Nodes on it. */
  get size(): number {
    return this.#places.size;
  }

  /** Links that all adverts name. */
  get links(): number {
    return this.#links;
  }

  /** Of all adverts but for their versions: equal when two maps tell the same. */
  get hash(): number {
    return this.#hash;
  }

  /** Of all ways: equal when two nodes find the same paths. */
  get digest(): number {
    return this.#digest;
  }

  /** Rises whenever a way changes that can be used, and with each change of this node's links. */
  get version(): number {
    return this.#version;
  }

  get(id: NodeId): Place | undefined {
    return this.#places.get(id);
  }

  places(): MapIterator<Place> {
    return this.#places.values();
  }

  /** Takes a node's newest advert. */
  set(advert: Advert, bornAt: number): void {
    const place = this.#places.get(advert.origin) ?? this.#add(advert, bornAt);
    const last = place.advert;
    if (last.incarnation !== advert.incarnation) place.since = bornAt;
    place.bornAt = bornAt;
    place.advert = advert;
    if (last.hash === advert.hash && last !== advert) return;
    if (last !== advert) this.#discount(last);
    this.#links += advert.links.size;
    this.#hash = addHash(this.#hash, advert.hash);
    if (this.#connect(place) || place.id === this.#self) this.#version++;
  }

  /** Takes a node off the map. */
  delete(place: Place): void {
    this.#places.delete(place.id);
    this.#discount(place.advert);
    if (place.ways.size > 0) this.#version++;
    for (const other of place.ways.keys()) {
      this.#close(place, other);
      this.#close(other, place);
    }
  }

  #add(advert: Advert, bornAt: number): Place {
    const place: Place = {
      id: advert.origin,
      hash: hashBytes(new TextEncoder().encode(advert.origin)),
      advert,
      bornAt,
      since: bornAt,
      ways: new Map(),
      changes: new Bucket(MAX_CHANGES, CHANGES_PER_SECOND),
    };
    this.#places.set(place.id, place);
    return place;
  }

  #discount(advert: Advert): void {
    this.#links -= advert.links.size;
    this.#hash = removeHash(this.#hash, advert.hash);
  }

  /** Works out the ways of a node anew; whether one has changed. */
  #connect(place: Place): boolean {
    let changed = false;
    for (const other of place.ways.keys()) {
      if (place.advert.links.has(other.id)) continue;
      this.#close(place, other);
      this.#close(other, place);
      changed = true;
    }
    for (const [id, cost] of place.advert.links) {
      const other = this.#places.get(id);
      const back = other?.advert.links.get(place.id);
      if (other === undefined || back === undefined) continue;
      if (place.ways.get(other) === cost) continue;
      this.#open(place, other, cost);
      this.#open(other, place, back);
      changed = true;
    }
    return changed;
  }

  #open(from: Place, to: Place, cost: number): void {
    this.#close(from, to);
    from.ways.set(to, cost);
    this.#digest = addHash(this.#digest, hashWay(from, to, cost));
  }

  #close(from: Place, to: Place): void {
    const cost = from.ways.get(to);
    if (cost === undefined) return;
    from.ways.delete(to);
    this.#digest = removeHash(this.#digest, hashWay(from, to, cost));
  }
}

function hashWay(from: Place, to: Place, cost: number): number {
  return hashNumbers(from.hash, to.hash, cost);
}
