/** Values of the counter within one epoch. */
const SLOTS = 4096;
/** The instant of epoch 0, 2020-01-01, in ms since 1970. */
const ORIGIN = Date.UTC(2020, 0, 1);
/** The last epoch whose incarnations are all safe integers; reached in September 2089. */
const MAX_EPOCH = 2 ** 41 - 1;
/**
 * The last epoch, in November 2054, that is continued above because others speak of it: a
 * lie leaves room for all that a node may have to say of itself later.
 */
const LAST_TOLD = 2 ** 40 - 1;

/**
 * The incarnation of a node that starts at a wall-clock time.
 *
 * An incarnation is one safe integer: `epoch * 4096 + counter`, the epoch in
 * milliseconds since 2020-01-01 (until 2089) and the counter from 0 to 4095.
 *
 * - A restart has a later epoch, so that it outranks all that is still told of
 *   its past.
 * - While it runs, a node raises only the counter ({@linkcode nextIncarnation}),
 *   so that others can tell a change of its metadata from a restart.
 * - A node whose clock was set back learns that others know a later epoch of it,
 *   and continues above that: {@linkcode incarnationAbove}.
 *
 * A time before 2020 (a machine whose clock is not set) counts as epoch 0.
 *
 * @example An incarnation from the system's clock
 * ```ts
 * import { epochOf, incarnationAt, nextIncarnation } from "@devts/routing";
 * import { assert, assertEquals } from "@std/assert";
 *
 * const incarnation = incarnationAt(Date.now());
 * const changed = nextIncarnation(incarnation);
 *
 * assert(changed > incarnation);
 * assertEquals(epochOf(changed), epochOf(incarnation));
 * ```
 *
 * @param wallClock Milliseconds since 1970, as `Date.now()` gives.
 * @throws {RangeError} If the time is not a number or after 2089.
 */
export function incarnationAt(wallClock: number): number {
  const epoch = Math.max(0, Math.floor(wallClock - ORIGIN));
  if (!(epoch <= MAX_EPOCH)) {
    throw new RangeError(
      `Cannot make an incarnation from the time ${wallClock}: it must be before September 2089`,
    );
  }
  return epoch * SLOTS;
}

/**
 * The epoch of an incarnation: when that life of the node began, in milliseconds
 * since 2020-01-01. Two incarnations of one epoch are the same run of a program.
 *
 * @example A restart
 * ```ts
 * import { epochOf, incarnationAt } from "@devts/routing";
 * import { assertEquals } from "@std/assert";
 *
 * const first = incarnationAt(Date.UTC(2026, 0, 1));
 * const second = incarnationAt(Date.UTC(2026, 0, 1) + 250);
 *
 * assertEquals(epochOf(second) - epochOf(first), 250);
 * ```
 */
export function epochOf(incarnation: number): number {
  return Math.floor(incarnation / SLOTS);
}

/**
 * The next incarnation of a running node: its counter raised by one. After 4095
 * changes that is the first of the next epoch, which others take for a restart.
 *
 * @example A change of metadata
 * ```ts
 * import { nextIncarnation } from "@devts/routing";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(nextIncarnation(4096), 4097);
 * ```
 *
 * @throws {RangeError} If there is no later incarnation.
 */
export function nextIncarnation(incarnation: number): number {
  return checked(incarnation + 1);
}

/**
 * The first incarnation of the epoch after that of `incarnation`: where a node
 * continues whose clock is behind what others know of it.
 *
 * @example A clock that was set back
 * ```ts
 * import { epochOf, nextEpoch } from "@devts/routing";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(epochOf(nextEpoch(5 * 4096 + 17)), 6);
 * ```
 *
 * @throws {RangeError} If there is no later epoch.
 */
export function nextEpoch(incarnation: number): number {
  return checked((epochOf(incarnation) + 1) * SLOTS);
}

/**
 * Where a node continues that others know under a higher incarnation than its
 * own: in the next epoch, if they mean a later one (its clock was set back, and
 * this is a restart to them), otherwise at the next counter.
 *
 * @example What others know is of a later epoch
 * ```ts
 * import { incarnationAbove } from "@devts/routing";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(incarnationAbove(3 * 4096, 5 * 4096 + 17), 6 * 4096);
 * assertEquals(incarnationAbove(5 * 4096, 5 * 4096 + 17), 5 * 4096 + 18);
 * ```
 *
 * @param own The node's own incarnation.
 * @param known What others know.
 * @throws {RangeError} If there is no later incarnation, or what others know is of an
 * epoch after November 2054 and of none of this node's.
 */
export function incarnationAbove(own: number, known: number): number {
  const told = epochOf(known);
  if (told <= epochOf(own)) return nextIncarnation(Math.max(own, known));
  if (told <= LAST_TOLD) return nextEpoch(known);
  throw new RangeError(
    `Cannot continue above the incarnation ${known}: no node has started so late`,
  );
}

function checked(incarnation: number): number {
  if (Number.isSafeInteger(incarnation) && incarnation >= 0) return incarnation;
  throw new RangeError(
    `Cannot raise the incarnation to ${incarnation}: it must be a safe integer from 0 on`,
  );
}
