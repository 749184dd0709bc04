import { cluster, names, untilOneView } from "./cluster.ts";
import type { Parts } from "./parts.ts";
import type { Cut, Fault, Scenario } from "@devts/routing/testing";

const NODES = 20;
const LENGTH = 60_000;
const LIMIT = 35_000;
const TARGET = "one view after the heal (ms)";
const FORMS = ["full", "asymmetric", "bridge"] as const;

/** A network that parts for a minute: how long after its heal until there is one view again. */
export function partition(parts: Parts): Scenario {
  return {
    name: "partition",
    targets: { [TARGET]: { max: LIMIT } },
    script: (random) => {
      const form = FORMS[Math.floor(FORMS.length * random())] ?? "full";
      return cuts(form, names(NODES), random);
    },
    run(run) {
      const network = cluster(run, parts, NODES);
      network.play(run.script);
      const end = Math.max(
        0,
        ...run.script.map((cut) => cut.at + (cut.for ?? 0)),
      );
      network.clock.tick(end);
      const healed = untilOneView(network, LIMIT);
      network.clock.tick(60_000);
      untilOneView(network, 0);
      return {
        [TARGET]: healed,
        [`${formOf(run.script, network.nodes.length)} (ms)`]: healed,
      };
    },
  };
}

/**
 * `full`: two parts. `asymmetric`: only one direction between them is cut. `bridge`:
 * one node still reaches both. Cut node by node, so that a failing script can be cut down.
 */
function cuts(
  form: (typeof FORMS)[number],
  ids: readonly string[],
  random: () => number,
): Fault[] {
  const one = ids.filter(() => random() < 0.5);
  const other = ids.filter((id) => !one.includes(id));
  if (form === "bridge") other.pop();
  const how: Cut = form === "asymmetric"
    ? "one-way"
    : random() < 0.5
    ? "links"
    : "silence";
  return one.map((id) => ({
    at: 1_000,
    do: "cut",
    from: [id],
    to: other,
    how,
    for: LENGTH,
  }));
}

/** Of which form a script is, or a part of one. */
function formOf(
  script: readonly Fault[],
  nodes: number,
): (typeof FORMS)[number] {
  const first = script.find((fault) => fault.do === "cut");
  if (first?.do !== "cut") return "full";
  if (first.how === "one-way") return "asymmetric";
  return script.length + first.to.length < nodes ? "bridge" : "full";
}
