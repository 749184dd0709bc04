import { assert, assertEquals } from "@std/assert";
import { EventHeap, Planned } from "./_event_heap.ts";
import { seededRandom } from "./_random.ts";

class Mark extends Planned {
  readonly #seen: number[];
  readonly #number: number;

  constructor(seen: number[], number: number) {
    super();
    this.#seen = seen;
    this.#number = number;
  }

  run(): void {
    this.#seen.push(this.#number);
  }
}

Deno.test("EventHeap keeps the order of time and planning, whatever is taken out", () => {
  const random = seededRandom(5);
  const heap = new EventHeap();
  const seen: number[] = [];
  const planned = Array.from({ length: 2_000 }, (_, number) => ({
    number,
    time: Math.floor(random() * 100),
    event: new Mark(seen, number),
  }));
  for (const { event, time } of planned) heap.push(event, time);
  const left = planned.filter(({ event }) => {
    if (random() < 0.5) return true;
    assert(heap.remove(event));
    assert(!heap.remove(event));
    return false;
  });
  assertEquals(heap.size, left.length);
  while (heap.step(Infinity));
  left.sort((a, b) => a.time - b.time || a.number - b.number);
  assertEquals(seen, left.map(({ number }) => number));
  assertEquals([heap.size, heap.count], [0, left.length]);
});

Deno.test("EventHeap.push() lets nothing happen in the past", () => {
  const heap = new EventHeap();
  const seen: number[] = [];
  heap.now = 50;
  heap.push(new Mark(seen, 1), 10);
  assert(!heap.step(49));
  assert(heap.step(50));
  assertEquals([seen, heap.now], [[1], 50]);
});
