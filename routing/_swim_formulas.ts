/** The longest timeout of a suspicion, in shortest ones. */
const LONGEST = 6;
/** The only timeout of two nodes, in shortest ones. */
const UNCONFIRMED = 3;
/** Sends of one piece of news, in powers of ten of nodes. */
const RETRANSMITS = 4;
/** Up to so many nodes, everyone exchanges with another at the full rate. */
const FULL_RATE = 32;

/**
 * How many more accusers a suspicion needs for its shortest timeout; none where there
 * are not so many nodes.
 *
 * All formulas are those of Lifeguard (Dadgar, Phillips, Currey: "Lifeguard: Local
 * Health Awareness for More Accurate Failure Detection", 2018) as memberlist has them.
 *
 * @param nodes How many there are, this one included.
 */
export function confirmationsNeeded(nodes: number, multiplier: number): number {
  const needed = Math.max(0, multiplier - 2);
  return nodes - 2 < needed ? 0 : needed;
}

/**
 * The shortest timeout of a suspicion, in the unit of `interval`. With two nodes, where
 * there is nobody to ask for help, it is three times as long: what is lost on the one
 * link is repeated after 0.2 s, 0.4 s and so on, and five losses in a row look like
 * a death for 6.2 s.
 */
export function shortestSuspicion(
  nodes: number,
  multiplier: number,
  interval: number,
): number {
  const factor = nodes <= 2 ? UNCONFIRMED : Math.max(1, Math.log10(nodes));
  return multiplier * factor * interval;
}

/** The timeout of a suspicion with so many accusers beyond the first. */
export function suspicionTimeout(
  shortest: number,
  needed: number,
  confirmed: number,
): number {
  if (needed === 0) return shortest;
  const longest = LONGEST * shortest;
  const part = Math.log(confirmed + 1) / Math.log(needed + 1);
  return Math.max(shortest, longest - part * (longest - shortest));
}

/** How often a node sends one piece of news. */
export function retransmitLimit(nodes: number): number {
  return RETRANSMITS * Math.ceil(Math.log10(nodes + 1));
}

/** How much less often a node exchanges all it knows with another. */
export function exchangeScale(nodes: number): number {
  if (nodes <= FULL_RATE) return 1;
  return Math.ceil(Math.log2(nodes) - Math.log2(FULL_RATE)) + 1;
}
