import { cluster, names, untilOneView } from "./cluster.ts";
import type { Parts } from "./parts.ts";
import type { Cut, Fault, Scenario } from "@devts/routing/testing";

const NODES = 20;
const LENGTH = 60_000;
const LIMIT = 35_000;
const FORMS = ["full", "asymmetric", "bridge"] as const;

/** A network that parts for a minute: how long after its heal until there is one view again. */
export function partition(parts: Parts): Scenario {
  return {
    name: "partition",
    targets: { "one view after the heal (ms)": { max: LIMIT } },
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
      return { "one view after the heal (ms)": healed };
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
