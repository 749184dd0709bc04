import type { Behaviour } from "../behaviour.ts";
import { HybridClock, MAX_DRIFT, type Stamp } from "./hlc.ts";

/** A node's hybrid logical clock, for stamps of a program's own. */
export interface NodeClock {
  /** A stamp for what happens now: after all that was stamped or received here. */
  now(): Stamp;
  /**
   * What came from another node has this stamp: all that is stamped here from now on
   * comes after it.
   *
   * @throws {RangeError} If it is more than 60 s ahead of the time of day here, or no stamp.
   */
  receive(stamp: Stamp): void;
}

/**
 * A hybrid logical clock as a behaviour. Send a stamp along with what it stamps, and
 * give it to the other's clock: causes come before effects, whatever the clocks of the
 * nodes say.
 *
 * @example Order without equal clocks
 * ```ts
 * import { createNode } from "@devts/devts";
 * import { compareStamps, hybridClock } from "@devts/node/state";
 * import { assert } from "@std/assert";
 *
 * await using node = createNode({ cluster: "demo" });
 * const clock = node.use("clock", hybridClock());
 * const asked = clock.now(); // came with a question from elsewhere
 * clock.receive(asked);
 * assert(compareStamps(clock.now(), asked) > 0);
 * ```
 */
export function hybridClock(): Behaviour<NodeClock> {
  return ({ wallClock }) => {
    const clock = new HybridClock(wallClock);
    return {
      now: () => clock.now(),
      receive({ time, counter }): void {
        const ahead = time - wallClock();
        const isStamp = Number.isSafeInteger(time) && time >= 0 &&
          Number.isInteger(counter) && counter >= 0 && counter < 65_536;
        if (!isStamp || ahead > MAX_DRIFT) {
          throw new RangeError(
            isStamp
              ? `Cannot receive a stamp that is ${
                Math.round(ahead / 1000)
              } s ahead: at most ${MAX_DRIFT / 1000} s are taken`
              : `Cannot receive the stamp ${time}, ${counter}: it is none`,
          );
        }
        clock.witness(time, counter);
      },
    };
  };
}
