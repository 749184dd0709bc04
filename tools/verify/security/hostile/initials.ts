import { pause } from "../../../../bench/serve.ts";

/** Dials at the same time: what they send fits the buffer of a socket. */
const BATCH = 32;
/** How long the first packets of a batch may take, in ms. */
const PATIENCE = 2_000;

/** The first packets of as many sessions, each of another client, as this runtime sends them. */
export async function firstPackets(count: number): Promise<Uint8Array[]> {
  const packets = new Map<string, Uint8Array>();
  const recorder = Deno.listenDatagram({
    transport: "udp",
    hostname: "127.0.0.1",
    port: 0,
  });
  const { port } = recorder.addr as Deno.NetAddr;
  let arrived = Promise.withResolvers<void>();
  let wanted = 0;
  const recording = (async () => {
    for await (const [packet] of recorder) {
      const id = packet.subarray(6, 6 + (packet[5] ?? 0)).toHex();
      if (!packets.has(id)) packets.set(id, packet.slice());
      if (packets.size >= wanted) arrived.resolve();
    }
  })();
  const endpoint = new Deno.QuicEndpoint({ hostname: "127.0.0.1", port: 0 });
  const dials: Promise<unknown>[] = [];
  while (packets.size < count) {
    wanted = packets.size + BATCH;
    arrived = Promise.withResolvers<void>();
    for (let i = 0; i < BATCH; i++) {
      dials.push(
        Deno.connectQuic<false>({
          hostname: "127.0.0.1",
          port,
          endpoint,
          serverName: "any.devts.internal",
          alpnProtocols: ["devts/1"],
          maxIdleTimeout: 100, // nobody answers
        }).catch(() => {}),
      );
    }
    await Promise.race([arrived.promise, pause(PATIENCE)]);
  }
  await Promise.all(dials);
  endpoint.close();
  recorder.close();
  await recording;
  return [...packets.values()].slice(0, count);
}
