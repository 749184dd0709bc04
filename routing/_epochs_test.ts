import { assertEquals } from "@std/assert";
import { Epochs } from "./_epochs.ts";
import { VirtualClock } from "./testing.ts";

const HOUR = 3_600_000;
const SLOTS = 4096;
const START = 1_000_000;

Deno.test("Epochs takes no life for real that begins an hour later than now", () => {
  const clock = new VirtualClock();
  clock.tick(5_000);
  const self = { id: "ada", incarnation: START * SLOTS, addresses: [] };
  const epochs = new Epochs({ self, clock });
  assertEquals(epochs.isPlausible(0), true);
  assertEquals(epochs.isPlausible(START + HOUR), true);
  assertEquals(epochs.isPlausible(START + HOUR + 1), false);
  clock.tick(1);
  assertEquals(epochs.isPlausible(START + HOUR + 1), true);
});

Deno.test("Epochs goes by the most advanced clock of this node and its neighbours", () => {
  const clock = new VirtualClock();
  const self = { id: "ada", incarnation: START * SLOTS, addresses: [] };
  const epochs = new Epochs({ self, clock });
  epochs.linked((START + 2 * HOUR) * SLOTS + 7);
  epochs.linked((START - 2 * HOUR) * SLOTS);
  assertEquals(epochs.isPlausible(START + 3 * HOUR), true);
  assertEquals(epochs.isPlausible(START + 3 * HOUR + 1), false);
});
