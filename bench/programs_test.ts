import { assertEquals } from "@std/assert";
import { devts } from "./devts_peer.ts";
import { FIRST } from "./payload.ts";
import { raw } from "./raw_peer.ts";

const COUNT = 1_500;
const REQUESTS = { count: 200, inFlight: 8 };

for (const peer of [raw, devts]) {
  Deno.test(`${peer.name} delivers every kind, and answers requests`, async () => {
    await using processes = new AsyncDisposableStack();
    const party = await peer.start(processes, 2);
    let first = FIRST;
    for (const kind of peer.kinds) {
      const expected = { kind, first, count: COUNT };
      for (const one of party.subscribers) await one.ask("expect", expected);
      await party.publisher.ask("publish", expected);
      for (const one of party.subscribers) {
        const arrived = await one.ask("arrived");
        assertEquals(arrived.number("wrong"), 0);
        assertEquals(arrived.number("sum"), COUNT * (COUNT - 1) / 2);
      }
      first += COUNT;
    }
    const replied = await party.publisher.ask("request", REQUESTS);
    assertEquals(replied.number("wrong"), 0);
  });
}
