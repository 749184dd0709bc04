/**
 * Which members of groups an event is for, as one of its extras.
 *
 * ```text
 * chosen   flags u8 · (group length u8 and bytes · node length u8 and bytes)…
 * flags    1: for groups alone, not for handlers without one; 2: the network has chosen
 *          whoever gets it, for the groups whose node is ""
 * group    "": every group of that node that is not in the list
 * node     "": whom the network chooses
 * ```
 */
import type { NodeId } from "@devts/routing";
import {
  EXTRA_GROUPS,
  extraIn,
  EXTRAS_HEADER,
  MAX_EXTRAS,
  writeExtras,
} from "./extras.ts";

const GROUPS_ALONE = 1;
const BY_NETWORK = 2;

/** Instead of a member: the one that the network hands the event to. */
export const NETWORKS_CHOICE = "";

/** A group, and the member that gets an event. */
export type Chosen = readonly [group: string, member: NodeId];

/** What an event is for at one node, as far as groups are concerned. */
export interface ForGroups {
  /** Not for handlers without a group. */
  readonly alone: boolean;
  /** Whether it is for the handlers of a group. */
  includes(group: string): boolean;
}

/** Of an event that says nothing of groups. */
export const NO_GROUPS: ForGroups = { alone: false, includes: () => false };
/** Of an event to this node alone. */
export const EVERY_GROUP: ForGroups = { alone: false, includes: () => true };

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The extras of an event for groups. */
export function writeChosen(
  chosen: readonly Chosen[],
  alone: boolean,
): Uint8Array {
  return write(chosen, alone ? GROUPS_ALONE : 0);
}

/** Whether the extras of an event have room for so many groups. */
export function fits(chosen: readonly Chosen[]): boolean {
  let length = EXTRAS_HEADER + 1;
  for (const pair of chosen) {
    for (const text of pair) length += 1 + encoder.encode(text).length;
  }
  return length <= MAX_EXTRAS;
}

/**
 * The same in less room: each node that is the only member of groups gets the event for
 * every group of its that is not in the list. Anybody can make up groups of which he is
 * the only member; they take no more room than one.
 */
export function shortened(
  chosen: readonly Chosen[],
  isOnly: (group: string) => boolean,
): readonly Chosen[] {
  const listed: Chosen[] = [];
  const only = new Set<NodeId>();
  for (const one of chosen) {
    const [group, member] = one;
    if (member === NETWORKS_CHOICE || !(group === "" || isOnly(group))) {
      listed.push(one);
    } else only.add(member);
  }
  return [...listed, ...[...only].map((member) => ["", member] as const)];
}

/** The extras of an event for the one member of a group that the network hands it to. */
export function writeNetworksChoice(group: string): Uint8Array {
  return write([[group, NETWORKS_CHOICE]], GROUPS_ALONE | BY_NETWORK);
}

function write(chosen: readonly Chosen[], flags: number): Uint8Array {
  const bytes = [flags];
  for (const pair of chosen) {
    for (const text of pair) {
      const encoded = encoder.encode(text);
      bytes.push(encoded.length, ...encoded);
    }
  }
  return writeExtras([[EXTRA_GROUPS, Uint8Array.from(bytes)]]);
}

/** Reads from extras what an event is for at a node. What is malformed names no group. */
export function readChosen(
  payload: Uint8Array,
  start: number,
  end: number,
  self: NodeId,
): ForGroups {
  const bytes = extraIn(payload, start, end, EXTRA_GROUPS);
  if (bytes === null) return NO_GROUPS;
  const flags = bytes[0] ?? 0;
  const isOwn = (node: string): boolean =>
    node === self || node === NETWORKS_CHOICE && (flags & BY_NETWORK) !== 0;
  const listed: string[] = [];
  const own: string[] = [];
  for (let at = 1; at < bytes.length;) {
    const groupEnd = at + 1 + (bytes[at] ?? 0);
    const nodeEnd = groupEnd + 1 + (bytes[groupEnd] ?? 0);
    if (nodeEnd > bytes.length) break;
    const group = decoder.decode(bytes.subarray(at + 1, groupEnd));
    const node = decoder.decode(bytes.subarray(groupEnd + 1, nodeEnd));
    listed.push(group);
    if (isOwn(node)) own.push(group);
    at = nodeEnd;
  }
  return {
    alone: (flags & GROUPS_ALONE) !== 0,
    includes: (group) =>
      own.includes(group) || own.includes("") && !listed.includes(group),
  };
}
