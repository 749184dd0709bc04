import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { createNode } from "@devts/devts";
import {
  createIdentity,
  grant,
  keyText,
  nodeIdOf,
  parseKey,
} from "@devts/protocol/identity";
import { createSecret } from "@devts/protocol/secret";
import { webSocketListener } from "@devts/transport/websocket";
import type { RouterFactory } from "@devts/routing";
import { hopRouter } from "@devts/routing/hop";
import { peerRouter } from "@devts/routing/peer";
import { findChromium, openPage } from "./_chromium.ts";
import type { GuestEvents } from "./_guest_page.ts";

const chromium = findChromium();
const RIGHTS = { emit: ["say"], handle: ["double"] };
const HTML = `<!doctype html><script type="module" src="page.js"></script>`;

async function bundle(): Promise<string> {
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["bundle", "--quiet", "--platform=browser"],
      import.meta.resolve("./_guest_page.ts"),
    ],
  }).output();
  assertEquals(code, 0);
  return new TextDecoder().decode(stdout);
}

/** The cluster's routers, and what a page is asked for by to be a guest behind them. */
const ROUTERS: readonly (readonly [string, RouterFactory, string])[] = [
  ["peerRouter", peerRouter(), ""],
  ["hopRouter", hopRouter(), "?relays"],
];

for (const [name, router, search] of ROUTERS) {
  Deno.test({
    name: chromium === null
      ? `a page is a guest over ${name}() (skipped: there is no Chromium)`
      : `a page that knows no secret is a guest over ${name}(), and does what it was granted and no more`,
    ignore: chromium === null,
    fn: () => visit(router, search),
  });
}

/** Opens a page that is a guest of one node, behind which there is another one. */
async function visit(router: RouterFactory, search: string): Promise<void> {
  assert(chromium !== null);
  const script = await bundle();
  assert(!script.includes("X509Certificate"), "it makes certificates");
  const { identity: authority } = await createIdentity();
  let guest = "";
  // The application knows its user, and grants the key of its page some rights.
  const grantTo = async (text: string): Promise<Uint8Array<ArrayBuffer>> => {
    const key = parseKey(text);
    guest = await nodeIdOf(key);
    const term = {
      cluster: "test",
      key,
      from: 0,
      until: Date.now() + 60_000,
    };
    return new Uint8Array(
      await grant(authority, { ...term, rights: RIGHTS }),
    );
  };
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/cluster") return listener.upgrade(request);
      if (pathname === "/grant") {
        return new Response(await grantTo(await request.text()));
      }
      const [type, text] = pathname === "/page.js"
        ? ["text/javascript", script]
        : ["text/html", HTML];
      return new Response(text, { headers: { "content-type": type } });
    },
  );
  const authorityOf = `127.0.0.1:${server.addr.port}`;
  await using listener = webSocketListener(`ws://${authorityOf}/cluster`);
  const options = {
    cluster: "test",
    logger: { debug() {}, info() {}, warn() {}, error() {} },
    secret: createSecret(),
    trust: { authorities: [keyText(authority.key)] },
    router,
  };
  await using home = createNode<GuestEvents>(options);
  await using far = createNode<GuestEvents>(options);
  const nodes = search === "" ? [home] : [home, far];
  const lines: string[] = [];
  const said = Promise.withResolvers<void>();
  const wiped: string[] = [];
  for (const node of nodes) {
    node.on("wipe", (_, { from }) => wiped.push(from));
    node.on("say", (text, { from }) => {
      assertEquals(from, guest);
      if (lines.push(text) === nodes.length * (1 + nodes.length)) {
        said.resolve();
      }
    });
  }
  await home.listen(listener);
  if (nodes.includes(far)) {
    await far.join(await home.listen("tcp://127.0.0.1:0"));
  }
  await using browser = await openPage(
    chromium,
    `http://${authorityOf}/${search}`,
  );
  await Promise.race([said.promise, browser.ended]);
  const others = lines.filter((line) => line !== "hello from a guest");
  assertEquals(lines.length - others.length, nodes.length);
  for (const line of others) {
    assertStringIncludes(line, 'has no right to "wipe"');
  }
  for (const node of nodes) {
    await node.emit("internal", "a word among members");
    assertEquals(await node.request(guest, "double", 21), 42);
  }
  assertEquals(wiped, []);
  assert(home.counters.forbidden > nodes.length);
}
