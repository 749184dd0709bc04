import type { RouterFactory } from "@devts/routing";
import { natsRouter } from "@devts/routing/nats";
import { ROUTERS } from "../../sim/parts.ts";

/**
 * A router by its name, for the nodes of cluster "verify".
 *
 * @param servers The URLs of NATS servers, separated by commas: for the router "nats".
 */
export function routerOf(name: string, servers: string): RouterFactory {
  if (name === "nats") {
    return natsRouter({ servers: servers.split(","), cluster: "verify" });
  }
  const part = Object.hasOwn(ROUTERS, name) ? ROUTERS[name] : undefined;
  if (part === undefined) throw new TypeError(`There is no router "${name}"`);
  return part.make();
}
