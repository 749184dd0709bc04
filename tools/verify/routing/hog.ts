/** A program that takes all of a processor that it can get, until its stdin ends. */

import { serve } from "../../../bench/serve.ts";

const LENGTH = 20;
const channel = new MessageChannel();
channel.port1.onmessage = () => {
  const end = performance.now() + LENGTH;
  while (performance.now() < end);
  channel.port2.postMessage(null);
};
channel.port2.postMessage(null);

await serve({});
channel.port1.close();
