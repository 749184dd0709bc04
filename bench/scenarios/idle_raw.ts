/**
 * What `idle_node.ts` is compared with: a program that only listens.
 *
 * @module
 */

const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
// deno-lint-ignore no-console -- the answer
console.log(`ready ${performance.timeOrigin + performance.now()}`);
await Deno.stdin.read(new Uint8Array(1));
listener.close();
