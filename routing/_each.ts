import { type NodeId, NodeNotFoundError } from "./types.ts";

/**
 * Sends to each of some nodes, by a router that carries a packet to one at a time.
 *
 * @returns For how many `send` said that it was handed on.
 * @throws {NodeNotFoundError} If one of them is not in `nodes`; then nothing was sent.
 */
export function sendToEach(
  to: readonly NodeId[],
  nodes: ReadonlySet<NodeId>,
  send: (id: NodeId) => boolean,
): number {
  for (const id of to) {
    if (!nodes.has(id)) throw new NodeNotFoundError(id);
  }
  let handed = 0;
  for (const id of to) if (send(id)) handed++;
  return handed;
}
