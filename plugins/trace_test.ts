import { assert, assertEquals } from "@std/assert";
import { isInPlace } from "@devts/transport";
import { memory } from "@devts/transport/memory";
import { tcp } from "@devts/transport/tcp";
import { accept, pairOver, TestClock } from "./_support_test.ts";
import { trace } from "./trace.ts";

Deno.test("trace() writes a line for whatever passes", async () => {
  const clock = new TestClock();
  const lines: string[] = [];
  const [near, far] = await pairOver(memory());
  const link = trace({ write: (line) => lines.push(line), clock })(near, {
    id: "bob",
  });
  clock.tick(61_234);
  await link.send(new TextEncoder().encode("hello\n\x1b[31m, world, and all"));
  await far.send(Uint8Array.of(0, 255, 65));
  await link.receive();
  await far.close();
  await link.receive();
  await link.close(new Error("it was\nenough"));
  await link.close();
  assertEquals(lines, [
    "00:00.000 bob is linked at memory://pair",
    "01:01.234 bob -> 27 B 68 65 6c 6c 6f 0a 1b 5b 33 31 6d 2c 20 77 6f 72 |hello..[31m, wor| …",
    "01:01.234 bob <- 3 B 00 ff 41 |..A|",
    "01:01.234 bob <- end",
    "01:01.234 bob -> closed: it was.enough",
  ]);
});

Deno.test("trace() lets a program say what a message is, and survives what it throws", async () => {
  const lines: string[] = [];
  const [near, far] = await pairOver(memory());
  let count = 0;
  const link = trace({
    write(line) {
      lines.push(line.slice(10));
      throw new Error("the log is full");
    },
    describe(message) {
      if (count++ > 0) throw new Error("no idea");
      return `greeting of ${message.length}`;
    },
  })(near, { id: "bob" });
  await link.send(new Uint8Array(2));
  await link.send(new Uint8Array(2));
  assertEquals(lines.slice(1), [
    "bob -> 2 B greeting of 2",
    "bob -> 2 B 00 00 |..|",
  ]);
  await Promise.all([link.close(), far.close()]);
});

Deno.test("trace() keeps a connection in place, and sees what passes there", async () => {
  const lines: string[] = [];
  const transport = tcp();
  await using listener = await transport.listen("tcp://127.0.0.1:0");
  const [dialled, accepted] = await Promise.all([
    transport.connect(listener.address),
    accept(listener),
  ]);
  const plugin = trace({ write: (line) => lines.push(line.slice(10)) });
  const near = plugin(dialled, { id: "near" });
  const far = plugin(accepted, { id: "far" });
  assert(isInPlace(near) && isInPlace(far));
  const frame = new Uint8Array(near.framing.size + 2).fill(66);
  near.framing.write(frame);
  await near.sendFrame(frame);
  await far.borrow();
  assertEquals(lines.slice(2), [
    "near -> 2 B 42 42 |BB|",
    "far <- 2 B 42 42 |BB|",
  ]);
  await Promise.all([near.close(), far.close()]);
});
