import { assertEquals } from "@std/assert";
import { Child } from "./child.ts";
import { measure, type Work } from "./measure.ts";
import type { Peer } from "./peer.ts";

const PROGRAM = new URL("_fake_program.ts", import.meta.url);

const BROADCAST: Work = {
  type: "broadcast",
  name: "broadcast",
  kind: "bytes128",
  subscribers: 1,
};
const REQUESTS: Work = {
  type: "requests",
  name: "requests",
  inFlight: 1,
  pinned: false,
};

/** A peer that delivers 1,000 messages per second, of which some are wrong. */
function fake(name: string, wrong = 0): Peer {
  return {
    name,
    kinds: ["bytes128"],
    requests: true,
    versions: () => Promise.resolve({}),
    start(processes, subscribers) {
      const spawn = () =>
        processes.use(new Child(PROGRAM, { args: [String(wrong)] }));
      return Promise.resolve({
        publisher: spawn(),
        subscribers: Array.from({ length: subscribers }, spawn),
      });
    },
  };
}

const broken: Peer = {
  ...fake("broken"),
  start: () => Promise.reject(new Error("no server")),
};

Deno.test("measure() lets as many messages fit a turn as its duration asks for", async () => {
  const lines: string[] = [];
  const [one, other] = await measure(BROADCAST, [fake("one"), fake("other")], {
    repetitions: 2,
    duration: 5_000,
    progress: (line) => lines.push(line),
  });
  const { publisherMemory: _1, subscriberMemory: _2, ...medians } =
    one?.medians ?? {};
  assertEquals(one?.count, 5_000);
  assertEquals(one?.samples.length, 2);
  assertEquals(medians, {
    rate: 1_000,
    publisherCpu: 2_000,
    subscriberCpu: 1_000,
  });
  assertEquals(other?.peer, "other");
  assertEquals(lines, [
    "warm-up: one 1,000/s",
    "warm-up: other 1,000/s",
    "repetition 1 of 2: one 1,000/s, other 1,000/s",
    "repetition 2 of 2: one 1,000/s, other 1,000/s",
  ]);
});

Deno.test("measure() leaves out what fails, and says why", async () => {
  const results = await measure(
    BROADCAST,
    [broken, fake("wrong", 3), fake("right")],
    { repetitions: 1, count: 10, progress: () => {} },
  );
  assertEquals(
    results.map(({ failure, samples }) => [failure, samples.length]),
    [
      ["failed: no server", 0],
      [
        "failed: 3 of 10 messages were lost, doubled, out of order or not what was sent",
        0,
      ],
      [undefined, 1],
    ],
  );
});

Deno.test("measure() takes those alone that do the work", async () => {
  const results = await measure(
    REQUESTS,
    [{ ...fake("mute"), requests: false }, fake("one"), fake("wrong", 1)],
    { repetitions: 1, count: 10, progress: () => {} },
  );
  assertEquals(
    results.map(({ peer, failure, medians: { rate, p50, p99 } }) => ({
      peer,
      failure,
      figures: [rate, p50, p99],
    })),
    [
      { peer: "one", failure: undefined, figures: [1_000, 3, 5] },
      {
        peer: "wrong",
        failure: "failed: 1 of 10 replies were wrong",
        figures: [undefined, undefined, undefined],
      },
    ],
  );
});
