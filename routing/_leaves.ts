import { assert } from "@std/assert";
import { withLinks } from "./_context.ts";
import type {
  InspectingRouter,
  NodeId,
  Router,
  RouterFactory,
} from "./types.ts";

/** Whether a node is a leaf, in tests. */
export function isLeaf(id: NodeId): boolean {
  return id.startsWith("leaf");
}

/** Whether a router reads packets. */
export function isInspecting(router: Router): router is InspectingRouter {
  return "inspect" in router && typeof router.inspect === "function";
}

/** A router that knows leaves by their ids; that of a leaf passes nothing on, as its node does. */
export function knowing(make: RouterFactory, isDialling = true): RouterFactory {
  return (context) => {
    const { links } = context;
    const send: typeof links.send = (id, packet, lane) => {
      const { self } = context;
      assert(isInspecting(router));
      const read = router.inspect(self.id, packet);
      assert(read !== null);
      const isOwn = read.origin === self.id && read.own !== null;
      if (isLeaf(self.id) && !isOwn) return true; // as if it had left
      const isForOthers = read.to !== null && read.to !== id;
      assert(!isLeaf(id) || read.payload === null || !isForOthers);
      return links.send(id, packet, lane);
    };
    const quiet = isDialling ? {} : { connect: () => {} };
    const router = make(withLinks(context, { send, ...quiet }));
    const link = router.link.bind(router);
    router.link = (event) =>
      link(
        event.type === "up" && isLeaf(event.peer.id)
          ? { ...event, isLeaf: true }
          : event,
      );
    return router;
  };
}
