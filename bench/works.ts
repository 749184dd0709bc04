import type { Work } from "./measure.ts";

/** How many subscribers get what one publisher sends. */
const SUBSCRIBERS = 3;

/** What is measured, in this order. */
export const WORKS: readonly Work[] = [
  {
    type: "broadcast",
    name: "Objects of 128 B, one to three",
    kind: "object128",
    subscribers: SUBSCRIBERS,
  },
  {
    type: "broadcast",
    name: "Bytes, 128 B, one to three",
    kind: "bytes128",
    subscribers: SUBSCRIBERS,
  },
  {
    type: "broadcast",
    name: "Bytes, 1 KiB, one to three",
    kind: "bytes1k",
    subscribers: SUBSCRIBERS,
  },
  {
    type: "broadcast",
    name: "Bytes, 64 KiB, one to three",
    kind: "bytes64k",
    subscribers: SUBSCRIBERS,
  },
  {
    type: "requests",
    name: "Requests of 128 B, one after the other, on two processors",
    inFlight: 1,
    pinned: true,
  },
  {
    type: "requests",
    name: "Requests of 128 B, 64 in flight",
    inFlight: 64,
    pinned: false,
  },
];
