import type { ClockSkew, LinkShape, VirtualHost } from "./_virtual_types.ts";
import type { NodeId } from "./types.ts";

/** Something that happens at a time, and may end by itself. */
export interface Timed {
  /** When, in ms after the script was begun. */
  readonly at: number;
  /** How long it lasts, in ms. */
  readonly for?: number;
}

/** Between which machines nothing passes any more. */
export type Cut =
  /** Nothing, both ways: links stay open and hold what is sent, dials get no answer. */
  | "silence"
  /** The same, and the links end. */
  | "links"
  /** What the first sends to the second. */
  | "one-way";

/**
 * What can happen to a network, as data: a list of these is a script that can be
 * printed, played again and cut down. What is impossible when its time comes (a crash
 * of what does not run) is left out.
 */
export type Fault =
  /** A program ends without a word; `for`: it starts again after that. */
  | Timed & {
    readonly do: "crash";
    readonly node: NodeId;
    readonly how?: "links" | "silence";
  }
  /** A program starts again. */
  | Timed & { readonly do: "restart"; readonly node: NodeId }
  /** A node says goodbye and stops; `for`: it starts again after that. */
  | Timed & { readonly do: "leave"; readonly node: NodeId }
  /** A node dials another. */
  | Timed & {
    readonly do: "connect";
    readonly from: NodeId;
    readonly to: NodeId;
  }
  /** A link ends; both nodes notice. */
  | Timed & {
    readonly do: "disconnect";
    readonly from: NodeId;
    readonly to: NodeId;
  }
  /** All of the first are parted from all of the second; `for`: until then, whoever parted them. */
  | Timed & {
    readonly do: "cut";
    readonly from: readonly NodeId[];
    readonly to: readonly NodeId[];
    readonly how?: Cut;
  }
  /** All cuts end. */
  | Timed & { readonly do: "heal" }
  /** A program does not run for a while. */
  | Timed & {
    readonly do: "stall";
    readonly node: NodeId;
    readonly for: number;
  }
  /** Each event keeps a node busy for so many ms; `for`: until then. */
  | Timed & {
    readonly do: "slow";
    readonly node: NodeId;
    readonly pace: number;
  }
  /** Links carry otherwise; one direction of one, or all; `for`: until then, as before. */
  | Timed & {
    readonly do: "shape";
    readonly shape: Partial<LinkShape>;
    readonly link?: { readonly from: NodeId; readonly to: NodeId };
  }
  /** The clocks of a machine are set. */
  | Timed & {
    readonly do: "clock";
    readonly node: NodeId;
    readonly skew: ClockSkew;
  };

/** What a fault does to a network. */
export interface Faulty {
  host(id: NodeId): VirtualHost;
  leave(id: NodeId): void;
  connect(from: NodeId, to: NodeId): void;
  disconnect(a: NodeId, b: NodeId): void;
  partition(one: readonly NodeId[], other: readonly NodeId[], how?: Cut): void;
  join(one: readonly NodeId[], other: readonly NodeId[]): void;
  healAll(): void;
  shape(
    change: Partial<LinkShape>,
    link?: { readonly from: NodeId; readonly to: NodeId },
  ): Partial<LinkShape>;
}

/** Does what a fault says; returns what ends it, where it ends. */
export function inflict(network: Faulty, fault: Fault): () => void {
  switch (fault.do) {
    case "crash": {
      const host = network.host(fault.node);
      host.crash(fault.how);
      return () => revive(host);
    }
    case "restart":
      revive(network.host(fault.node));
      return nothing;
    case "leave":
      network.leave(fault.node);
      return () => revive(network.host(fault.node));
    case "connect":
      network.connect(fault.from, fault.to);
      return nothing;
    case "disconnect":
      network.disconnect(fault.from, fault.to);
      return nothing;
    case "cut":
      network.partition(fault.from, fault.to, fault.how);
      return () => network.join(fault.from, fault.to);
    case "heal":
      network.healAll();
      return nothing;
    case "stall":
      network.host(fault.node).stall(fault.for);
      return nothing;
    case "slow":
      network.host(fault.node).slow(fault.pace);
      return () => network.host(fault.node).slow(0);
    case "shape": {
      const before = network.shape(fault.shape, fault.link);
      return () => {
        network.shape(before, fault.link);
      };
    }
    case "clock":
      network.host(fault.node).setClock(fault.skew);
      return nothing;
  }
}

function revive(host: VirtualHost): void {
  if (!host.running) host.restart();
}

function nothing(): void {}
