import type { RouterContext, RouterLinks } from "./types.ts";

/** A context with some other links; its node is live as before. */
export function withLinks(
  context: RouterContext,
  links: Partial<RouterLinks>,
): RouterContext {
  const own = context.links;
  return {
    get self() {
      return context.self;
    },
    clock: context.clock,
    random: context.random,
    up: context.up,
    links: {
      send: (id, packet, lane) => own.send(id, packet, lane),
      connect: (peer) => own.connect(peer),
      disconnect: (id, reason) => own.disconnect(id, reason),
      ...links,
    },
  };
}
