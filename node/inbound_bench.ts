// What it costs to take bundles apart, decode the data and call the handlers: the
// events of each iteration stand in as many bundles as they fill.

import { msgpackr } from "@devts/protocol/msgpackr";
import type { Clock } from "@devts/routing";
import { BundleWriter, EVENT } from "./bundle.ts";
import { Checks } from "./checks.ts";
import { Handlers } from "./handlers.ts";
import { Inbound } from "./inbound.ts";
import { noneMet } from "./limits.ts";
import { Receipts } from "./receipts.ts";

const COUNT = 10_000;
const NAME = new TextEncoder().encode("event");
const codec = msgpackr();

const DATA: readonly (readonly [string, unknown])[] = [
  ["128 B bytes", new Uint8Array(128)],
  ["128 B objects", { id: 12, tags: ["a", "b"], text: "x".repeat(104) }],
];

const clock: Clock = { now: () => 0, after: () => () => {}, soon: () => {} };

for (const [what, data] of DATA) {
  const payloads = bundles(data);
  let handled = 0;
  const inbound = make(() => {
    handled++;
  });
  Deno.bench(`Inbound.take() 10,000 × ${what}`, { group: what }, () => {
    for (const payload of payloads) inbound.take("ada", payload);
  });

  const awaiting = make(() => {
    handled++;
    return Promise.resolve();
  });
  Deno.bench(
    `Inbound.take() 10,000 × ${what}, asynchronous handler`,
    { group: what },
    async () => {
      for (const payload of payloads) awaiting.take("ada", payload);
      await Promise.resolve();
    },
  );
}

function make(handler: () => unknown): Inbound {
  const handlers = new Handlers();
  handlers.add("event", handler);
  return new Inbound({
    unhandled: () => {},
    handlerFailed: () => {},
    handlerStuck: () => {},
    reply: () => {},
    refuse: () => {},
    replied: () => {},
    failed: () => {},
    receipt: () => {},
    invalid: () => {},
    invalidReply: () => {},
    refusal: () => null,
  }, {
    id: "self",
    codec,
    handlers,
    receipts: new Receipts({
      limit: 2,
      met: noneMet(),
      counts: { duplicates: 0 },
      send: () => {},
    }),
    checks: new Checks(null, codec),
    clock,
    signal: new AbortController().signal,
    running: Infinity,
    waiting: () => 0,
    met: noneMet(),
  });
}

function bundles(data: unknown): readonly Uint8Array[] {
  const payloads: Uint8Array[] = [];
  const writer = new BundleWriter(codec, 0);
  for (let i = 0; i < COUNT; i++) {
    if (writer.add(EVENT, NAME, 0, data)) continue;
    payloads.push(writer.take().payload);
    writer.add(EVENT, NAME, 0, data);
  }
  payloads.push(writer.take().payload);
  return payloads;
}
