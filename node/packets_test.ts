import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { msgpackr } from "@devts/protocol/msgpackr";
import { v1 } from "@devts/protocol/v1";
import { BundleWriter, EVENT } from "./bundle.ts";
import { FRAMING_ROOM } from "./frame.ts";
import { Packets } from "./packets.ts";

const protocol = v1();
const { headerSize } = protocol;

function bundle() {
  const writer = new BundleWriter(msgpackr(), FRAMING_ROOM + headerSize);
  for (let i = 0; i < 3; i++) writer.add(EVENT, Uint8Array.of(110), 0, i);
  return writer.take();
}

Deno.test("Packets frames a bundle of this node where it stands, once", () => {
  const packets = new Packets(protocol);
  const own = bundle();
  packets.during(own, () => {
    const frame = packets.frame(own.payload, "data");
    assertStrictEquals(frame.message.buffer, own.payload.buffer);
    assertEquals(frame.message.subarray(headerSize), own.payload);
    assertEquals(protocol.readHeader(frame.message), "data");
    assertStrictEquals(frame.slab, own.slab);
    assertStrictEquals(packets.frame(own.payload, "data"), frame);
    assertEquals([packets.events, packets.isBundle(own.payload)], [3, true]);
  });
  assertEquals([packets.events, packets.isBundle(own.payload)], [1, false]);
});

Deno.test("Packets goes on with a bundle during which another one was handed on", () => {
  const packets = new Packets(protocol);
  const [own, other] = [bundle(), bundle()];
  const isBare = packets.during(own, () => {
    const frame = packets.frame(own.payload, "data");
    const isOtherBare = packets.during(other, () => {
      assertEquals(packets.isBundle(other.payload), true);
    });
    assertEquals(isOtherBare, false);
    assertEquals([packets.events, packets.isBundle(own.payload)], [3, true]);
    const again = packets.frame(own.payload, "data");
    assertEquals(again.message, frame.message);
    assertStrictEquals(again.slab, own.slab);
  });
  assertEquals(isBare, true);
});

Deno.test("Packets copies whatever else is sent", () => {
  const packets = new Packets(protocol);
  const own = bundle();
  packets.during(own, () => {
    const before = own.message.slice();
    // The router's packet around a bundle, or a bundle in the other lane.
    for (
      const [packet, lane] of [
        [Uint8Array.of(1, 2, 3), "data"],
        [own.payload.slice(), "data"],
        [own.payload, "control"],
      ] as const
    ) {
      const frame = packets.frame(packet, lane);
      assert(frame.message.buffer !== own.payload.buffer);
      assert(frame.message.buffer !== packet.buffer);
      assertStrictEquals(frame.slab, null);
      assertEquals(protocol.readHeader(frame.message), lane);
      assertEquals(frame.message.subarray(headerSize), packet);
      assertStrictEquals(packets.frame(packet, lane), frame);
    }
    assertEquals(own.message, before);
  });
});

Deno.test("Packets frames a bundle again that is sent a second time", () => {
  const packets = new Packets(protocol);
  const own = bundle();
  const frames = [1, 2].map(() => {
    let message = new Uint8Array(0);
    packets.during(own, () => {
      message = packets.frame(own.payload, "data").message.slice();
    });
    return message;
  });
  assertEquals(frames[0], frames[1]);
});

Deno.test("Packets.during() lets go of the bundle although sending throws", () => {
  const packets = new Packets(protocol);
  const own = bundle();
  let thrown: unknown;
  try {
    packets.during(own, () => {
      throw new Error("no way");
    });
  } catch (error) {
    thrown = error;
  }
  assert(thrown instanceof Error);
  assert(!packets.isBundle(own.payload));
  assertStrictEquals(packets.frame(own.payload, "data").slab, null);
});

Deno.test("Packets hands on what came in the frame that it came in", () => {
  const packets = new Packets(protocol);
  const message = Uint8Array.of(0, 0, 0, 0, 1, 2, 3);
  protocol.writeHeader("data", message);
  const packet = message.subarray(headerSize);
  packets.received(packet, message, "data");
  const frame = packets.frame(packet, "data");
  assertStrictEquals(frame.message.buffer, message.buffer);
  assertEquals(frame.message, message);
  const other = packets.frame(packet, "control");
  assertEquals(protocol.readHeader(other.message), "control");
  packets.received(packet, message, "data");
  packets.forget();
  assert(packets.frame(packet, "data").message.buffer !== message.buffer);
});

Deno.test("Packets.during() tells whether a bundle left with nothing in front", () => {
  const packets = new Packets(protocol);
  const own = bundle();
  assert(packets.during(own, () => packets.frame(own.payload, "data")));
  const around = Uint8Array.of(9, ...own.payload);
  assert(
    !packets.during(own, () => {
      packets.frame(around, "data");
      assertEquals([packets.events, packets.isBundle(around)], [3, false]);
    }),
  );
  assert(!packets.during(own, () => {}));
});

Deno.test("Packets copies long packets into memory that it uses again once it has left", () => {
  const packets = new Packets(protocol);
  const packet = crypto.getRandomValues(new Uint8Array(50_000));
  const frame = packets.frame(packet, "data");
  assertEquals(frame.message.subarray(headerSize), packet);
  assert(frame.slab);
  frame.slab.retain(); // As a link does.
  packets.forget();
  const second = packets.frame(packet, "data");
  assert(second.message.buffer !== frame.message.buffer);
  packets.forget();
  frame.slab.release();
  const third = packets.frame(packet.slice(1), "data");
  assertStrictEquals(third.message.buffer, frame.message.buffer);
  assertEquals(third.message.subarray(headerSize), packet.subarray(1));
  // Links let go of memory in the data lane alone.
  assertStrictEquals(packets.frame(packet, "control").slab, null);
});
