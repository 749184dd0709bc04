import type { PluginClock } from "./types.ts";

/** The time of this machine. */
export const machineClock: PluginClock = {
  now: () => performance.now(),
  after(delay, callback) {
    const timer = setTimeout(callback, delay);
    return () => clearTimeout(timer);
  },
};

/** Resolves after so many ms, or as soon as `ended` does. */
export async function wait(
  clock: PluginClock,
  delay: number,
  ended?: Promise<void>,
): Promise<void> {
  if (delay <= 0) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const cancel = clock.after(delay, resolve);
  await (ended === undefined ? promise : Promise.race([promise, ended]));
  cancel();
}
