import type { NodeId } from "@devts/routing";
import {
  type Chosen,
  fits,
  NETWORKS_CHOICE,
  shortened,
  writeChosen,
  writeNetworksChoice,
} from "./chosen.ts";
import { type Choice, Groups } from "./groups.ts";
import type { Interest } from "./interest.ts";
import type { Group } from "./interest_table.ts";
import { OTHERS, type Target } from "./outbound.ts";
import type { Topic } from "./topics.ts";

// Sets of nodes that events went to lately.
const TARGETS = 1_024;
// Combinations of members that events of one name went to.
const COMBINATIONS = 1_024;

/** No other node. */
export const NOBODY: Target = { to: [] };

/** Where one event goes. */
export interface Audience {
  /** The other nodes. */
  readonly target: Target;
  /** What the event carries for them; null: nothing. */
  readonly extras: Uint8Array | null;
  /** What it carries to this node, where a group has chosen it; null: none has. */
  readonly own: Uint8Array | null;
  /** Groups of which the network chooses the member. */
  readonly queues: readonly Queue[];
}

/** A group of which the network chooses the member. */
export interface Queue {
  readonly target: Target;
  readonly extras: Uint8Array;
}

const NO_QUEUES: readonly Queue[] = [];

/** Where the events of a name go. */
export interface Route {
  readonly version: number;
  /** The same for every event; null: groups choose for each. */
  readonly audience: Audience | null;
  /** Those who get every event; null: all others. */
  readonly nodes: readonly NodeId[] | null;
  readonly groups: readonly Group[];
  /** A node of which it is not known yet what it handles: it stands for unknown groups. */
  readonly stranger: NodeId | null;
  /** Those who handle it, too, but whose contract does not fit; groups of such alone. */
  readonly unfit: Unfit;
  readonly combinations: Map<string, Audience>;
}

/** Who would get an event, if contracts did not differ. */
export interface Unfit {
  readonly nodes: readonly NodeId[];
  readonly groups: readonly Group[];
}

/** What the audiences are made with. */
export interface AudiencesOptions {
  readonly id: NodeId;
  readonly random: () => number;
  readonly interest: Interest;
  /** The nodes there is a way to. */
  nodes(): ReadonlySet<NodeId>;
  /** Whether the network itself can choose members of groups. */
  queues(): boolean;
  /** Whether the contract of a node does not fit an event: it is not sent there. */
  isUnfit(id: NodeId, name: string): boolean;
}

/**
 * Says where events go: to those who handle the name, to one member of each group, and
 * to nodes of which it is not known yet what they handle.
 */
export class Audiences {
  readonly #options: AudiencesOptions;
  readonly #groups: Groups;
  readonly #targets = new Map<string, Target>();
  /** Nodes that have left, and to which there is a way still: for some ms, or by relays. */
  readonly #left = new Set<NodeId>();
  /** The nodes there was a way to when that was looked at last. */
  #nodes: ReadonlySet<NodeId> = new Set();
  #looked = false;
  #version = 0;

  constructor(options: AudiencesOptions) {
    this.#options = options;
    this.#groups = new Groups({
      random: options.random,
      latency: (id) =>
        id === options.id ? 0 : options.interest.latencies.of(id),
    });
  }

  /** Ways may have come or gone: they are looked at before the next event. */
  look(): void {
    this.#looked = false;
  }

  /** Whose contract fits may have changed. */
  renew(): void {
    this.#options.interest.version++;
    this.look();
  }

  /** A node left the cluster: it gets nothing more. */
  left(id: NodeId): void {
    if (!this.#options.nodes().has(id)) return;
    this.#left.add(id);
    this.renew();
  }

  /** A node is a member, once more where it had left. */
  joined(id: NodeId): void {
    if (this.#left.delete(id)) this.renew();
  }

  /** Whether a node has left, though there is a way to it. */
  hasLeft(id: NodeId): boolean {
    return this.#left.has(id);
  }

  /** A way to a node has opened, perhaps once more: it is told what this one handles. */
  met(id: NodeId): void {
    this.joined(id);
    if (this.#nodes.has(id)) this.#options.interest.met(id);
    this.see();
  }

  /** Where an event goes; `data` and `key` are what sticky groups go by. */
  of(topic: Topic, data: unknown, key: unknown): Audience {
    const route = this.route(topic);
    return route.audience ??
      this.#choose(topic.name, route, { data, key });
  }

  /** Where the events of a name go. */
  route(topic: Topic): Route {
    if (!this.#looked) this.see();
    const { route } = topic;
    if (route !== null && route.version === this.#version) return route;
    return topic.route = this.#find(topic.name);
  }

  /** Other nodes to ask: those who get every event, and of each other group one member. */
  asked(topic: Topic): readonly NodeId[] {
    const { id } = this.#options;
    const { nodes, groups, unfit } = this.route(topic);
    const asked = new Set([...nodes ?? this.#nodes, ...unfit.nodes]);
    for (const { of, members } of [...groups, ...unfit.groups]) {
      if (members.some((member) => asked.has(member))) continue;
      const except = new Set([id]);
      const member = this.member(topic.name, of.name, { except });
      if (member !== null) asked.add(member);
    }
    return [...asked];
  }

  /** The other nodes that are known to handle a name, in a group or not. */
  handling(name: string): ReadonlySet<NodeId> {
    const { nodes, groups } = this.#options.interest.table.find(name);
    const all = [...nodes, ...groups.flatMap(({ members }) => members)];
    const reachable = this.#options.nodes();
    return new Set(
      all.filter((id) => reachable.has(id) && !this.#left.has(id)),
    );
  }

  /**
   * A member of a group for a name, this node included; null: there is none, but for
   * those that are excepted.
   */
  member(name: string, group: string, choice: Choice = {}): NodeId | null {
    const { groups } = this.#options.interest.table.find(name);
    const known = groups.find(({ of }) => of.name === group);
    if (known === undefined) return null;
    const reachable = this.#reachable(known);
    const fit = this.#fit(name, reachable);
    return this.#groups.choose(name, fit, choice) ??
      (fit === reachable ? null : this.#groups.choose(name, reachable, choice));
  }

  /** Notes which nodes there is a way to; those that are new are told what this one handles. */
  see(): void {
    this.#looked = true;
    const { interest, nodes } = this.#options;
    const before = this.#nodes;
    const now = nodes();
    const isSame = now.size === before.size && isWithin(now, before);
    if (!isSame) {
      this.#nodes = new Set(now);
      for (const id of this.#nodes) if (!before.has(id)) interest.met(id);
      for (const id of this.#left) if (!now.has(id)) this.#left.delete(id);
    }
    if (!isSame) interest.version++;
    this.#version = interest.version;
  }

  #find(name: string): Route {
    const { interest } = this.#options;
    const found = interest.table.find(name);
    const nodes: NodeId[] = [];
    const unfit: { nodes: NodeId[]; groups: Group[] } = {
      nodes: [],
      groups: [],
    };
    let stranger: NodeId | null = null;
    for (const one of this.#nodes) {
      if (this.#left.has(one)) continue;
      const isKnown = interest.knows(one);
      const isFor = !isKnown || found.nodes.has(one);
      if (this.#options.isUnfit(one, name)) {
        if (isFor) unfit.nodes.push(one);
        continue;
      }
      if (!isKnown) stranger ??= one;
      if (isFor) nodes.push(one);
    }
    const groups: Group[] = [];
    for (const each of found.groups) {
      const group = this.#reachable(each);
      const fit = this.#fit(name, group);
      if (fit.members.length > 0) groups.push(fit);
      else if (group.members.length > 0) unfit.groups.push(group);
    }
    const route = {
      version: this.#version,
      nodes: nodes.length === this.#nodes.size ? null : nodes,
      groups,
      stranger,
      unfit,
      combinations: new Map<string, Audience>(),
    };
    const audience = groups.length === 0 && stranger === null
      ? {
        target: this.#targetOf(route.nodes),
        extras: null,
        own: null,
        queues: NO_QUEUES,
      }
      : null;
    return { ...route, audience };
  }

  #reachable({ of, members }: Group): Group {
    const { id, nodes } = this.#options;
    const reachable = nodes();
    return {
      of,
      members: members.filter((one) =>
        one === id || reachable.has(one) && !this.#left.has(one)
      ),
    };
  }

  /** A group without the members whose contract does not fit. */
  #fit(name: string, group: Group): Group {
    const { isUnfit } = this.#options;
    const members = group.members.filter((one) => !isUnfit(one, name));
    return members.length === group.members.length
      ? group
      : { of: group.of, members };
  }

  #choose(name: string, route: Route, choice: Choice): Audience {
    const chosen: Chosen[] = [];
    for (const group of route.groups) {
      const member = this.#isQueue(group)
        ? NETWORKS_CHOICE
        : this.#groups.choose(name, group, choice);
      if (member !== null) chosen.push([group.of.name, member]);
    }
    if (route.stranger !== null) chosen.push(["", route.stranger]);
    const key = chosen.map(([, member]) => member).join(" ");
    let audience = route.combinations.get(key);
    if (audience === undefined) {
      audience = this.#combine(name, route, withRoom(chosen, route));
      if (route.combinations.size >= COMBINATIONS) route.combinations.clear();
      route.combinations.set(key, audience);
    }
    return audience;
  }

  /** The network leaves out who sends: where that is the only member, it gets the event. */
  #isQueue({ of: { strategy }, members }: Group): boolean {
    if (!this.#options.queues()) return false;
    if (strategy !== "round-robin" && strategy !== "random") return false;
    return members.some((member) => member !== this.#options.id);
  }

  #combine(
    name: string,
    { nodes }: Route,
    chosen: readonly Chosen[],
  ): Audience {
    const { id } = this.#options;
    const members = chosen.map(([, member]) => member)
      .filter((member) => member !== NETWORKS_CHOICE);
    const all = nodes === null
      ? null
      : [...new Set([...nodes, ...members.filter((one) => one !== id)])];
    return {
      target: this.#targetOf(all),
      extras: writeChosen(chosen, false),
      own: members.includes(id) ? writeChosen(chosen, true) : null,
      queues: chosen.filter(([, member]) => member === NETWORKS_CHOICE)
        .map(([group]) => ({
          target: { to: [`${group} ${name}`], queue: { group, name } },
          extras: writeNetworksChoice(group),
        })),
    };
  }

  /** One object for each set of nodes. */
  #targetOf(nodes: readonly NodeId[] | null): Target {
    if (nodes === null || nodes.length === this.#nodes.size) return OTHERS;
    if (nodes.length === 0) return NOBODY;
    const sorted = [...nodes].sort();
    const key = sorted.join(" ");
    let target = this.#targets.get(key);
    if (target === undefined) {
      target = { to: sorted };
      if (this.#targets.size >= TARGETS) this.#targets.clear();
      this.#targets.set(key, target);
    }
    return target;
  }
}

/** What an event says of groups, in less room where there is not enough. */
function withRoom(
  chosen: readonly Chosen[],
  { groups }: Route,
): readonly Chosen[] {
  if (fits(chosen)) return chosen;
  const only = new Set<string>();
  for (const { of, members } of groups) {
    if (members.length === 1) only.add(of.name);
  }
  return shortened(chosen, (group) => only.has(group));
}

function isWithin<T>(some: ReadonlySet<T>, all: ReadonlySet<T>): boolean {
  for (const one of some) if (!all.has(one)) return false;
  return true;
}
