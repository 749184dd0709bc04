// What it costs to pack events and to let the bundles go, without links: 10,000 events
// in each iteration, in one turn of the event loop. Where events alternate between
// targets, each ends the bundle of the one before it, unless both stay open.

import { msgpackr } from "@devts/protocol/msgpackr";
import type { Clock, NodeId } from "@devts/routing";
import { EVENT } from "./bundle.ts";
import { OTHERS, Outbound, type Target } from "./outbound.ts";

const COUNT = 10_000;

const nodes: readonly NodeId[] = Array.from({ length: 7 }, (_, i) => `n${i}`);
const single = nodes.map((id): Target => ({ to: [id] }));
const halves = [nodes.slice(0, 4), nodes.slice(4)].map((to): Target => ({
  to,
}));

const TARGETS: readonly (readonly [string, readonly Target[]])[] = [
  ["to all", [OTHERS]],
  ["to one", single.slice(0, 1)],
  ["to all and to one in turns", [OTHERS, ...single.slice(0, 1)]],
  ["to two sets in turns", halves],
  ["to seven nodes in turns", single],
];

const DATA: readonly (readonly [string, unknown])[] = [
  ["128 B bytes", new Uint8Array(128)],
  ["128 B objects", { id: 12, tags: ["a", "b"], text: "x".repeat(104) }],
];

/** A clock whose turns end when it is told. */
class Turns implements Clock {
  #queue: (() => void)[] = [];

  now(): number {
    return 0;
  }

  after(): () => void {
    return () => {};
  }

  soon(callback: () => void): void {
    this.#queue.push(callback);
  }

  /** Ends turns until nothing waits for one. */
  end(): void {
    while (this.#queue.length > 0) {
      for (const callback of this.#queue.splice(0)) callback();
    }
  }
}

for (const [what, data] of DATA) {
  for (const [where, targets] of TARGETS) {
    const clock = new Turns();
    const known = new Set(nodes);
    const outbound = new Outbound({
      codec: msgpackr(),
      headroom: 8,
      maxMessage: 1_048_576,
      clock,
      nodes: () => known,
      ship: ({ slab }) => slab?.release(),
    });
    Deno.bench(
      `Outbound.add() 10,000 × ${what} ${where}`,
      { group: what, baseline: targets[0] === OTHERS && targets.length === 1 },
      () => {
        const name = new TextEncoder().encode("event");
        for (let i = 0; i < COUNT; i++) {
          const target = targets[i % targets.length] ?? OTHERS;
          if (target.to.length === 1) {
            outbound.add(target, EVENT, name, 0, data);
          } else outbound.emit(target, name, data);
        }
        clock.end();
      },
    );
  }
}
