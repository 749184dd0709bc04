import { assertEquals } from "@std/assert";
import { HEAD, Unconfirmed, UnicastHeads } from "./_nats_unconfirmed.ts";

function packet(to: string | null, number: number, length = 10): {
  subject: string;
  bytes: Uint8Array;
  to: string | null;
  number: number;
} {
  return { subject: "s", bytes: new Uint8Array(length), to, number };
}

Deno.test("Unconfirmed.confirm() lets go what came up to a packet", () => {
  const waiting = new Unconfirmed();
  assertEquals([waiting.last, waiting.bytes], [0, 0]);
  waiting.add(packet(null, 1));
  waiting.add(packet("a", 1));
  const { last } = waiting;
  waiting.add(packet("a", 2, 5));
  waiting.confirm(last);
  assertEquals(waiting.packets.map(({ number }) => number), [2]);
  assertEquals(waiting.bytes, 5);
  waiting.confirm(waiting.last);
  assertEquals([waiting.last, waiting.bytes], [0, 0]);
});

Deno.test("Unconfirmed.take() takes out what is for one node, and nothing else", () => {
  const waiting = new Unconfirmed();
  for (const to of [null, "a", "b", "a"]) waiting.add(packet(to, 1));
  waiting.add(packet(null, 0));
  assertEquals(waiting.take("a").length, 2);
  waiting.dropControl();
  assertEquals(waiting.packets.map(({ to }) => to), [null, "b"]);
  assertEquals(waiting.bytes, 20);
});

Deno.test("UnicastHeads keeps the beginnings of the last 4,096", () => {
  const heads = new UnicastHeads();
  for (let i = 1; i <= 5_000; i++) heads.add("a", i, new Uint8Array(1000));
  heads.add("b", 1, new Uint8Array([7]));
  assertEquals(heads.take("a", 1, 905), []);
  assertEquals(heads.take("a", 900, 907).map(({ length }) => length), [
    HEAD,
    HEAD,
  ]);
  heads.forget("a");
  assertEquals(heads.take("a", 0, Infinity), []);
  assertEquals(heads.take("b", 1, 1), [new Uint8Array([7])]);
});
