import type {
  DirectRouter,
  InspectingRouter,
  LinkingRouter,
  Membership,
  QueueingRouter,
  Router,
  SelectiveRouter,
  SiftingMembership,
} from "@devts/routing";

/** Whether a router sends each packet straight to its target. */
export function isDirect(router: Router): router is DirectRouter {
  return "direct" in router && router.direct === true;
}

/** Whether a router's network chooses members of groups. */
export function isQueueing(router: Router): router is QueueingRouter {
  return "sendToOne" in router && typeof router.sendToOne === "function";
}

/** Whether a router knows what ways cost. */
export function isSelective(router: Router): router is SelectiveRouter {
  return "prefersEach" in router && typeof router.prefersEach === "function";
}

/** Whether a router brings its own links. */
export function isLinking(router: Router): router is LinkingRouter {
  return "open" in router && typeof router.open === "function";
}

/** Whether a router tells what packets are. */
export function isInspecting(router: Router): router is InspectingRouter {
  return "inspect" in router && typeof router.inspect === "function";
}

/** Whether a membership takes out of messages what their senders tell of others. */
export function isSifting(
  membership: Membership,
): membership is SiftingMembership {
  return "sift" in membership && typeof membership.sift === "function";
}
