import { IdMap } from "./_id_map.ts";
import type { Chart, Place } from "./_map_chart.ts";
import {
  type Branch,
  branchesAt,
  pathTo,
  shortestPaths,
  type Tree,
} from "./_map_paths.ts";
import { MAX_PATH } from "./_map_packets.ts";
import type { NodeId } from "./types.ts";

/** Results that are kept until the map changes. */
const MAX_KEPT = 1024;

/** A path, and what it costs. */
export interface Way {
  /** The nodes on it, both ends included. */
  readonly path: readonly NodeId[];
  readonly cost: number;
}

/**
 * What the map means for one node: worked out when it is asked for, and again when the
 * map has changed since.
 */
export class View {
  readonly #chart: Chart;
  readonly #self: NodeId;
  #version = -1;
  #tree: Tree | null = null;
  #loose: readonly NodeId[] | null = null;
  readonly #paths = new IdMap<readonly NodeId[] | null>();
  readonly #detours = new Map<string, readonly NodeId[] | null>();
  readonly #branches = new IdMap<readonly Branch[]>();

  constructor(chart: Chart, self: NodeId) {
    this.#chart = chart;
    this.#self = self;
  }

  /** Neighbours whose own advert does not tell of the link yet. */
  get loose(): readonly NodeId[] {
    this.#refresh();
    return this.#loose ??= this.#findLoose();
  }

  /** The nodes within reach, this one first. */
  get places(): readonly Place[] {
    return this.#own().order;
  }

  /** Whether the map shows a path to a node. */
  reaches(place: Place): boolean {
    return this.#own().steps.has(place);
  }

  /** The shortest path to a node, from this one; null: there is none. */
  pathTo(id: NodeId): readonly NodeId[] | null {
    this.#refresh();
    const known = this.#paths.get(id);
    if (known !== undefined) return known;
    const place = this.#chart.get(id);
    const found = place ? pathTo(this.#own(), place) : null;
    const path = found && fits(found) ? found : this.#direct(id);
    if (this.#paths.size < MAX_KEPT) this.#paths.set(id, path);
    return path;
  }

  /** The shortest path to a node around others; null: there is none. */
  detour(id: NodeId, around: readonly NodeId[]): readonly NodeId[] | null {
    if (around.length === 0) return this.pathTo(id);
    this.#refresh();
    const key = `${id} ${around.join(" ")}`;
    const known = this.#detours.get(key);
    if (known !== undefined) return known;
    const barred = new Set(around);
    const found = this.#search(id, (_, to) => !barred.has(to.id))?.path;
    const path = found && fits([...around, ...found])
      ? found
      : this.#direct(id);
    if (this.#detours.size < MAX_KEPT) this.#detours.set(key, path);
    return path;
  }

  /** The shortest path to a node that begins with none of these; null: there is none. */
  alternate(id: NodeId, not: ReadonlySet<NodeId>): Way | null {
    return this.#search(
      id,
      (from, to) => from.id !== this.#self || !not.has(to.id),
    );
  }

  /** Whom this node passes on to what comes from an origin and goes to all. */
  branches(origin: NodeId): readonly Branch[] {
    this.#refresh();
    const known = this.#branches.get(origin);
    if (known !== undefined) return known;
    const self = this.#chart.get(this.#self);
    const root = this.#chart.get(origin);
    if (self === undefined || root === undefined) return [];
    const tree = root === self ? this.#own() : shortestPaths(root);
    const branches = branchesAt(tree, self);
    if (this.#branches.size < MAX_KEPT) this.#branches.set(origin, branches);
    return branches;
  }

  /** Forgets what was worked out if the map has changed. */
  #refresh(): void {
    if (this.#version === this.#chart.version) return;
    this.#version = this.#chart.version;
    this.#tree = null;
    this.#loose = null;
    this.#paths.clear();
    this.#detours.clear();
    this.#branches.clear();
  }

  /** The shortest paths from this node. */
  #own(): Tree {
    this.#refresh();
    const self = this.#chart.get(this.#self);
    if (self === undefined) return { steps: new Map(), order: [] };
    return this.#tree ??= shortestPaths(self);
  }

  #findLoose(): NodeId[] {
    const self = this.#chart.get(this.#self);
    if (self === undefined) return [];
    return [...self.advert.links.keys()].filter((id) => {
      const place = this.#chart.get(id);
      return place === undefined || !self.ways.has(place);
    });
  }

  #search(
    id: NodeId,
    isOpen: (from: Place, to: Place) => boolean,
  ): Way | null {
    this.#refresh();
    const self = this.#chart.get(this.#self);
    const target = this.#chart.get(id);
    if (self === undefined || target === undefined) return null;
    const tree = shortestPaths(self, isOpen);
    const path = pathTo(tree, target);
    return path && { path, cost: tree.steps.get(target)?.cost ?? 0 };
  }

  #direct(id: NodeId): readonly NodeId[] | null {
    return this.loose.includes(id) ? [this.#self, id] : null;
  }
}

/** Whether a path is short enough for a packet. */
function fits(path: readonly NodeId[]): boolean {
  return path.reduce((sum, id) => sum + id.length + 1, 0) <= MAX_PATH;
}
