import { assertEquals } from "@std/assert";
import { msgpackr } from "@devts/protocol/msgpackr";
import { Reader } from "./_bytes.ts";
import { readHead } from "./_page.ts";
import { Store } from "./_store.ts";
import { type Page, Transfers } from "./_transfers.ts";

function store(replica: string): Store {
  return new Store({
    replica,
    codec: msgpackr(),
    wallClock: () => 1_000,
    clusterTime: () => 1_000,
    now: () => 0,
    maxValue: 10_000,
  });
}

Deno.test("Transfers.takeOver() asks again for a page that got lost, not for all of them", async () => {
  const source = store("b@1");
  for (let i = 0; i < 10_000; i++) {
    source.write(`key ${i}`, "x".repeat(100), false);
  }
  const newcomer = store("a@1");
  let asked = 0;
  let lost = 0;
  const page = (bytes: Uint8Array): Page => {
    const reader = new Reader(bytes);
    return { bytes, reader, head: readHead(reader) };
  };
  const transfers = new Transfers({
    store: newcomer,
    members: () => ["b"],
    ask(_id, what, question) {
      const { head } = page(question);
      if (what === "pull") {
        return Promise.resolve(page(source.answerPull(head)));
      }
      asked++;
      if (asked % 2 === 0) {
        lost++;
        return Promise.reject(new Error("lost"));
      }
      return Promise.resolve(page(source.answerScan(head)));
    },
  });
  await transfers.takeOver("b");
  assertEquals(newcomer.entries.live.size, 10_000);
  assertEquals(newcomer.entries.digest(), source.entries.digest());
  assertEquals(asked - lost, newcomer.counters.pages - 1);
});
