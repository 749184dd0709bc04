import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { Member, Node } from "@devts/devts";
import { webSocketListener } from "@devts/transport/websocket";
import { Hono } from "hono";
import { findChromium, openPage } from "./_chromium.ts";
import { bundlePage, serveSite, siteNode } from "./browser.ts";
import type { PageEvents } from "./browser_page.ts";

const chromium = findChromium();
const script = await bundlePage();

Deno.test("the page is one file that names no module", () => {
  assert(!/^\s*(?:import|export)\b[^(]/m.test(script), "it imports something");
});

Deno.test({
  name: chromium === null
    ? "a page joins a cluster (skipped: there is no Chromium)"
    : "a page joins a cluster, emits, receives, answers, and is missed once it is gone",
  ignore: chromium === null,
  async fn() {
    assert(chromium !== null);
    const options = { cluster: "test" };
    await using site = serveSite(script, 0);
    await using entry = siteNode({ ...options, id: "entry" });
    await using other = siteNode({ ...options, id: "other" });
    const greeted = Promise.all([said(entry), said(other)]);
    const joined = Promise.all([arrival(entry), arrival(other)]);
    await entry.listen("tcp://127.0.0.1:0");
    await entry.listen(site.listener);
    assertEquals(await other.join(...entry.addresses.slice(0, 1)), 1);

    let gone: Promise<Member>;
    {
      await using browser = await openPage(
        chromium,
        `${site.url}?cluster=test`,
      );
      const [page] = await Promise.race([joined, browser.ended]);
      // Its events reach everyone, also whom it has no connection to.
      const greeting = { text: "hello from a page", from: page.id };
      assertEquals(
        await Promise.race([greeted, browser.ended]),
        [greeting, greeting],
      );
      await other.emit("say", "hello from TCP");
      assertEquals(
        await Promise.race([shown(other, page.id), browser.ended]),
        ["other: hello from TCP"],
      );
      gone = departure(other);
    }
    assertEquals((await gone).meta, "page");
  },
});

Deno.test("the application beside the cluster answers as before", async () => {
  await using site = serveSite(script, 0);
  await using node = siteNode({ cluster: "test" });
  await node.listen(site.listener);
  assertStringIncludes(await (await fetch(site.url)).text(), "<!doctype html>");
  const missing = await fetch(`${site.url}missing`);
  assertEquals([missing.status, await missing.text()], [404, "not found"]);
  const plain = await fetch(`${site.url}cluster`);
  assertEquals([plain.status, await plain.text()], [400, "Not a node"]);
});

Deno.test("the cluster is reached beside an application of Hono, on its port", async () => {
  const app = new Hono();
  app.get("/", (context) => context.text("the application"));
  // A request that Hono hands on is answered with what the listener says.
  app.get("/cluster", (context) => listener.upgrade(context.req.raw));
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    app.fetch,
  );
  const authority = `127.0.0.1:${server.addr.port}`;
  await using listener = webSocketListener(`ws://${authority}/cluster`);
  await using node = siteNode({ cluster: "test" });
  await using other = siteNode({ cluster: "test" });
  await node.listen(listener);
  assertEquals(await other.join(listener.address), 1);
  const response = await fetch(`http://${authority}/`);
  assertEquals(await response.text(), "the application");
});

/** The lines of a page, once it shows one. */
async function shown(node: Node<PageEvents>, page: string): Promise<string[]> {
  for (;;) {
    const lines = await node.request(page, "shown");
    if (lines.length > 0) return lines;
  }
}

function said(
  node: Node<PageEvents>,
): Promise<{ readonly text: string; readonly from: string }> {
  return new Promise((resolve) => {
    node.on("say", (text, { from }) => resolve({ text, from }));
  });
}

function arrival(node: Node<PageEvents>): Promise<Member> {
  return new Promise((resolve) => {
    node.onSystem("join", (member) => {
      if (member.meta === "page") resolve(member);
    });
  });
}

function departure(node: Node<PageEvents>): Promise<Member> {
  return new Promise((resolve) => {
    node.onSystem("leave", ({ member }) => resolve(member));
  });
}
