import { assertEquals } from "@std/assert";
import { stamp } from "./payload.ts";
import { percentiles, requests } from "./requests.ts";
import { Values } from "./values.ts";

async function wrong(
  request: (bytes: Uint8Array<ArrayBuffer>) => Promise<Uint8Array>,
): Promise<number> {
  const answer = await requests({
    count: 10,
    inFlight: 4,
    cpuTime: () => 0,
    request,
  });
  return new Values("requests", answer).number("wrong");
}

Deno.test("requests() has so many in flight, and takes right replies", async () => {
  let inFlight = 0;
  let most = 0;
  const right = await wrong(async (bytes) => {
    const reply = bytes.slice();
    most = Math.max(most, ++inFlight);
    await Promise.resolve();
    inFlight--;
    return reply;
  });
  assertEquals({ right, most }, { right: 0, most: 4 });
});

Deno.test("requests() counts replies that are wrong", async () => {
  assertEquals(
    await wrong((bytes) => Promise.resolve(stamp(bytes.slice(), 1))),
    10,
  );
  assertEquals(await wrong(() => Promise.resolve(new Uint8Array(0))), 10);
});

Deno.test("percentiles() takes the nearest rank", () => {
  const latencies = Float64Array.from({ length: 200 }, (_, i) => 200 - i);
  assertEquals(percentiles(latencies), { p50: 100_000, p99: 198_000 });
  assertEquals(percentiles(Float64Array.of(0.5)), { p50: 500, p99: 500 });
});
