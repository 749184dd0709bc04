import { assertEquals } from "@std/assert";
import { createNode } from "@devts/devts";
import { memory } from "@devts/transport/memory";
import { start } from "./_process.ts";
import { meet, silent } from "./_support_test.ts";
import { handOut, type JobEvents, work } from "./jobs.ts";

const JOBS = 150;

Deno.test("handOut() tells of a job that a worker cannot do, and goes on", async () => {
  const options = { cluster: "test", transport: memory(), logger: silent };
  await using giver = createNode<JobEvents>({ ...options, id: "giver" });
  await using worker = createNode<JobEvents>({ ...options, id: "worker" });
  worker.on("job", (number) => {
    if (number === 2) throw new Error("out of paper");
  }, { group: "workers" });
  await giver.listen("memory://giver");
  await meet(worker, giver);
  const lines: string[] = [];
  assertEquals(await handOut(giver, 3, (line) => lines.push(line)), 2);
  assertEquals(
    lines.filter((line) => line.includes("not done")).map((line) =>
      line.includes("out of paper")
    ),
    [true],
  );
});

Deno.test("work() takes one job after the other", async () => {
  const options = { cluster: "test", transport: memory(), logger: silent };
  await using giver = createNode<JobEvents>(options);
  const worker = createNode<JobEvents>(options);
  let running = 0;
  let most = 0;
  const working = work(worker, async () => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setImmediate(resolve));
    running--;
  });
  await giver.listen("memory://giver");
  await meet(worker, giver);
  assertEquals(await handOut(giver, 20, () => {}), 20);
  assertEquals(most, 1);
  await worker.close();
  await working;
});

Deno.test("jobs.ts has every job done although workers are killed", async () => {
  const worker = (id: string, ...entry: string[]): ReturnType<typeof start> =>
    start("jobs.ts", [...entry, "--work", "20", "--id", id]);
  await using second = worker("second");
  const [, port = ""] = await second.line(/cluster port (\d+)/);
  await using first = worker("first", port);
  await using third = worker("third", port);
  await second.line(/"first" joined/);
  await second.line(/"third" joined/);
  // All are there before there is work, so that none does it all.
  await using giver = start("jobs.ts", [port, "--jobs", `${JOBS}`]);
  const [, giverPort = ""] = await giver.line(/cluster port (\d+)/);
  await giver.line(/^job \d+ was done by second/);
  second.kill("SIGKILL");
  await giver.line(/^job \d+ was done by third/);
  third.kill("SIGTERM");
  await third.line(/^ended all that was begun$/);
  assertEquals((await third.status).code, 0);
  await using _fourth = worker("fourth", giverPort);
  const { code } = await giver.status;
  assertEquals(code, 0);
  const done = giver.lines.flatMap((line) =>
    /^job (\d+) was done by/.exec(line)?.[1] ?? []
  );
  assertEquals(
    done.map(Number).sort((a, b) => a - b),
    Array.from({ length: JOBS }, (_, i) => i + 1),
  );
  await first[Symbol.asyncDispose]();
});
