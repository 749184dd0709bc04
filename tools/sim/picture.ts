import type { ExplainingRouter, NodeId, Router } from "@devts/routing";
import { topologySvg } from "@devts/routing/picture";
import type { Scenario, Timed, VirtualNetwork } from "@devts/routing/testing";

/** A line of this length fits. */
const LINE = 100;
/** A way of fewer nodes shows nothing that its link does not. */
const SHORTEST = 3;

/** Keeps the network of the run of a scenario that was the last. */
export class LastNetwork {
  #network: VirtualNetwork | null = null;

  /** The same scenario, whose networks are kept. */
  of<A extends Timed>(scenario: Scenario<A>): Scenario<A> {
    return {
      ...scenario,
      run: (run) =>
        scenario.run({
          ...run,
          network: (options) => this.#network = run.network(options),
        }),
    };
  }

  /**
   * Draws it as it was at the end, with the longest way that its first node knows; null:
   * there was none.
   */
  svg(title: string, note: string): string | null {
    const network = this.#network;
    if (network === null) return null;
    const cut = note.length > LINE ? `${note.slice(0, LINE)}…` : note;
    const route = longestWay(network);
    return topologySvg(network.topology(), { title, note: cut, route });
  }
}

function longestWay(network: VirtualNetwork): readonly NodeId[] {
  const first = network.nodes.find(({ running }) => running);
  if (first === undefined || !isExplaining(first.router)) return [];
  let longest: readonly NodeId[] = [];
  for (const id of first.router.nodes) {
    const [way] = first.router.explain(id).ways;
    if (way === undefined || way.nodes.length <= longest.length) continue;
    longest = way.nodes;
  }
  return longest.length < SHORTEST ? [] : longest;
}

function isExplaining(router: Router): router is ExplainingRouter {
  return "explain" in router && typeof router.explain === "function";
}
