/**
 * A node with its defaults that listens and does nothing. Prints when it was ready, on the
 * clock that all processes share, and ends with its stdin.
 *
 * @module
 */

import { createNode } from "@devts/devts";

const node = createNode({ cluster: "bench" });
await node.listen("tcp://127.0.0.1:0");
// deno-lint-ignore no-console -- the answer
console.log(`ready ${performance.timeOrigin + performance.now()}`);
await Deno.stdin.read(new Uint8Array(1));
await node.close();
