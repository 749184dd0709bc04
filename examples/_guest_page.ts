/// <reference lib="dom" />
/**
 * What runs in the page of `browser_guest_test.ts`: a guest, which has a key that no
 * script can read, and asks the server that it comes from for its rights.
 *
 * @module
 */
import { createNode } from "@devts/devts/browser";
import { identityOfKeys, keyText } from "@devts/protocol/identity";
import { hopRouter } from "@devts/routing/hop";

/** The events of the page, and of the cluster that it is a guest of. */
export interface GuestEvents {
  /** The guest may emit it. */
  say(text: string): void;
  /** The guest may not. */
  wipe(): void;
  /** The guest handles it. */
  double(number: number): number;
  /** The guest is not sent it. */
  internal(text: string): void;
}

/** Joins the cluster of the server that this page comes from. */
async function main(): Promise<void> {
  const keys = await crypto.subtle.generateKey("Ed25519", false, [
    "sign",
    "verify",
  ]);
  if (!("privateKey" in keys)) throw new TypeError("There is no key pair");
  const { key } = await identityOfKeys(keys);
  const response = await fetch("grant", { method: "POST", body: keyText(key) });
  const granted = new Uint8Array(await response.arrayBuffer());
  const node = createNode<GuestEvents>({
    cluster: "test",
    identity: await identityOfKeys(keys, granted),
    ...location.search === "?relays" && { router: hopRouter() },
  });
  node.on("double", (number) => 2 * number);
  node.on("internal", (text) => node.emit("say", `it heard ${text}`));
  await node.join(`${location.origin.replace(/^http/, "ws")}/cluster`);
  await node.emit("say", "hello from a guest");
  await node.ready({ members: location.search === "?relays" ? 2 : 1 });
  for (const id of node.members.keys()) {
    try {
      await node.request(id, "wipe");
    } catch (error) {
      await node.emit("say", error instanceof Error ? error.message : "");
    }
  }
}

if (typeof document !== "undefined") await main();
