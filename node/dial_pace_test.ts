import { assert, assertEquals } from "@std/assert";
import { VirtualClock } from "@devts/routing/testing";
import { DialPace } from "./dial_pace.ts";
import { noneMet, withDefaults } from "./limits.ts";

function setUp() {
  const clock = new VirtualClock();
  const met = noneMet();
  const limits = withDefaults({ dialsPerAddress: 5 });
  return { clock, met, pace: new DialPace({ clock, limits, met }) };
}

/** How many of a hundred dials to ports of a host may go out now. */
function dials(pace: DialPace, host: string): number {
  let count = 0;
  for (let port = 1; port <= 100; port++) {
    if (pace.mayDial(`tcp://${host}:${port}`)) count++;
  }
  return count;
}

Deno.test("DialPace lets so many dials per second go to one address", () => {
  const { clock, met, pace } = setUp();
  assertEquals(dials(pace, "10.0.0.1"), 10);
  assertEquals(met.dialsPerAddress, 90);
  assertEquals(dials(pace, "10.0.0.2"), 10);
  clock.tick(1_000);
  assertEquals(dials(pace, "10.0.0.1"), 5);
});

Deno.test("DialPace does not hold up dials to this machine, nor to where a node has answered", () => {
  const { pace } = setUp();
  pace.answered("tcp://10.0.0.1:7946");
  for (const host of ["127.0.0.1", "[::1]", "localhost", "10.0.0.1"]) {
    assertEquals(dials(pace, host), 100);
  }
});

Deno.test("DialPace leaves turns for other addresses where one does not answer", () => {
  const { pace } = setUp();
  const silent = "tcp://10.0.0.1:1";
  const over = Array.from({ length: 4 }, () => {
    assert(pace.mayDial(silent));
    return pace.start(silent);
  });
  assert(!pace.mayDial(silent));
  assert(pace.mayDial("tcp://10.0.0.2:1"));
  over[0]?.();
  assert(pace.mayDial(silent));
});

Deno.test("DialPace remembers a bounded number of addresses", () => {
  const { pace } = setUp();
  assertEquals(dials(pace, "10.0.0.1"), 10);
  for (let i = 0; i < 4_096; i++) pace.mayDial(`tcp://host-${i}:1`);
  assert(pace.mayDial("tcp://10.0.0.1:1"), "it was forgotten");
});
