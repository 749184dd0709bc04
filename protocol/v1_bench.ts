import {
  admitting,
  ended,
  introduction,
  receiving,
  sent,
} from "./_fixtures_test.ts";
import { accept, dial } from "./_handshake.ts";
import { v1 } from "./v1.ts";

const protocol = v1();
const frame = new Uint8Array(64);
protocol.writeHeader("data", frame);

Deno.bench("writeHeader() 1,000 frames", () => {
  for (let i = 0; i < 1000; i++) protocol.writeHeader("data", frame);
});

Deno.bench("readHeader() 1,000 frames", () => {
  let data = 0;
  for (let i = 0; i < 1000; i++) {
    if (protocol.readHeader(frame) === "data") data++;
  }
  if (data !== 1000) throw new Error("Cannot read the frames");
});

Deno.bench("a handshake, both ends", () => {
  const one = receiving(
    dial({ self: () => introduction({ id: "a" }), random }),
  );
  const other = receiving(
    accept({ self: () => introduction({ id: "b" }), random }),
  );
  const answered = receiving(other.next(sent(one)));
  const proven = receiving(admitting(one.next(sent(answered))).next(null));
  const finished = ended(admitting(answered.next(sent(proven))).next(null));
  ended(proven.next(sent(finished)));
});

function random(length: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(length));
}
