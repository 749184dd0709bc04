import type { NodeLimits } from "./types.ts";

/** The default of each limit, and the range in which it makes sense. */
const RANGES: {
  readonly [name in keyof Required<NodeLimits>]: readonly [
    value: number,
    min: number,
    max: number,
  ];
} = {
  // A bundle of 64 KiB must fit, with what routers put in front.
  maxMessage: [1_048_576, 131_072, 2 ** 30],
  highWaterMark: [1_048_576, 1, 2 ** 40],
  outbox: [8_388_608, 1, 2 ** 40],
  links: [256, 1, 2 ** 20],
  pending: [64, 1, 2 ** 20],
  requests: [65_536, 1, 2 ** 24],
  running: [1_024, 1, 2 ** 20],
};

/**
 * Fills in the defaults.
 *
 * @throws {RangeError} If a limit is not an integer in its range.
 */
export function withDefaults(limits: NodeLimits): Required<NodeLimits> {
  return {
    maxMessage: inRange(limits, "maxMessage"),
    highWaterMark: inRange(limits, "highWaterMark"),
    outbox: inRange(limits, "outbox"),
    links: inRange(limits, "links"),
    pending: inRange(limits, "pending"),
    requests: inRange(limits, "requests"),
    running: inRange(limits, "running"),
  };
}

function inRange(limits: NodeLimits, name: keyof NodeLimits): number {
  const [usual, min, max] = RANGES[name];
  const { [name]: value = usual } = limits;
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new RangeError(
    `Cannot create a node with limits.${name} ${value}: it is an integer from ${min} to ${max}`,
  );
}
