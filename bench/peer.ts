import type { Child } from "./child.ts";

/** What is published, in each message. */
export type Kind = "object128" | "bytes128" | "bytes1k" | "bytes64k";

/**
 * A system under measurement. Every program of it serves these commands, besides
 * those by which its own `start` wires them (see `child.ts` for how commands travel):
 *
 * | verb | arguments | answer |
 * | --- | --- | --- |
 * | `expect` | `kind`, `first`, `count` | the subscriber awaits messages `first` to `first + count - 1` |
 * | `arrived` | | once the last one is here: `endedAt`, `cpu` since `expect`, `wrong`, `sum` of the sequence numbers, counted from `first` |
 * | `publish` | `kind`, `first`, `count` | once all have left: `startedAt`, `cpu` |
 * | `request` | `count`, `inFlight` | once all are answered: `startedAt`, `endedAt`, `cpu`, `p50`, `p99`, `wrong` |
 *
 * Times are in ms on the clock that all processes share; `cpu` is user and system time
 * in ms, from the operating system; `p50` and `p99` in µs. A message is wrong when it is
 * lost, doubled, out of order, or not what was sent.
 */
export interface Peer {
  /** For a person: `"NATS under Deno"`. */
  readonly name: string;
  /** What it is asked to publish; an empty list leaves it out of the broadcasts. */
  readonly kinds: readonly Kind[];
  /** Whether it answers requests. */
  readonly requests: boolean;
  /** The versions of what it runs on: `{ "nats-server": "2.9.10" }`. */
  versions(): Promise<Readonly<Record<string, string>>>;
  /** Starts a publisher, and subscribers that all get what it publishes. */
  start(
    processes: AsyncDisposableStack,
    subscribers: number,
    options?: StartOptions,
  ): Promise<Party>;
}

/** Options of {@linkcode Peer.start}. */
export interface StartOptions {
  /** Pins the publisher to processor 0 and the subscribers to processor 1. */
  readonly pinned?: boolean;
}

/** The processes of a peer. */
export interface Party {
  /** Also the client of requests. */
  readonly publisher: Child;
  /** The first one is also the server of requests. */
  readonly subscribers: readonly Child[];
  /** The server between them, where there is one. */
  readonly broker?: { readonly pid: number };
}
