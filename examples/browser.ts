/**
 * A browser page as a node: this program serves a page, on one port with the
 * WebSocket of the cluster; the page joins, and is a member like any other.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 --allow-run=deno examples/browser.ts             # prints its cluster port and its host port
 * deno run --allow-net=127.0.0.1 --allow-run=deno examples/browser.ts 7946 8000   # joins at cluster port 7946, serves on host port 8000
 * ```
 *
 * Open the page in two windows: they chat, through the node between them. The nodes
 * relay (`hopRouter`), since a page can only dial. A second `browser.ts` that joins the
 * first serves more pages of the same cluster.
 *
 * @module
 */
import { createNode, type Node } from "@devts/devts";
import { hopRouter } from "@devts/routing/hop";
import { combine } from "@devts/transport";
import { tcp } from "@devts/transport/tcp";
import {
  websocket,
  type WebSocketListener,
  webSocketListener,
} from "@devts/transport/websocket";
import {
  type Arguments,
  NODE_OPTIONS,
  nodeArguments,
  portOf,
  type Usage,
} from "./_arguments.ts";
import { interrupted, run } from "./_program.ts";
import type { PageEvents } from "./browser_page.ts";

const HOSTNAME = "127.0.0.1";
/** The path of the WebSocket of the cluster; everything else is the application's. */
const PATH = "/cluster";

const HTML = `<!doctype html>
<meta charset="utf-8">
<title>A page that is a node</title>
<style>
  body { font: 16px/1.5 system-ui; max-width: 40em; margin: 2em auto; padding: 0 1em }
  input { font: inherit; width: 100%; box-sizing: border-box; padding: .3em }
</style>
<h1>A page that is a node</h1>
<p id="members">joining …</p>
<form id="form"><input id="text" placeholder="say something" autocomplete="off"></form>
<ul id="lines"></ul>
<script type="module" src="page.js"></script>
`;

/** A web application, and on the same port where pages join the cluster. */
export interface Site extends AsyncDisposable {
  /** Where to open the page. */
  readonly url: string;
  /** For `node.listen`. */
  readonly listener: WebSocketListener;
}

/** The page's program and all that it imports, in one file. */
export async function bundlePage(): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "bundle",
      "--quiet",
      "--platform=browser",
      import.meta.resolve("./browser_page.ts"),
    ],
  }).output();
  const decoder = new TextDecoder();
  if (code === 0) return decoder.decode(stdout);
  throw new Error(`Cannot bundle the page: ${decoder.decode(stderr)}`);
}

/** Serves the page on a host port; 0 is any free one. */
export function serveSite(script: string, port: number): Site {
  const files = new Map([
    ["/", { type: "text/html; charset=utf-8", text: HTML }],
    ["/page.js", { type: "text/javascript; charset=utf-8", text: script }],
  ]);
  function handle(
    request: Request,
    { remoteAddr }: Deno.ServeHandlerInfo<Deno.NetAddr>,
  ): Response {
    const { pathname } = new URL(request.url);
    if (pathname === PATH) {
      const remote = `ws://${remoteAddr.hostname}:${remoteAddr.port}`;
      return listener.upgrade(request, remote);
    }
    const file = files.get(pathname);
    if (file === undefined) return new Response("not found", { status: 404 });
    return new Response(file.text, { headers: { "content-type": file.type } });
  }
  const server = Deno.serve(
    { hostname: HOSTNAME, port, onListen: () => {} },
    handle,
  );
  const authority = `${HOSTNAME}:${server.addr.port}`;
  const listener = webSocketListener(`ws://${authority}${PATH}`);
  return {
    url: `http://${authority}/`,
    listener,
    async [Symbol.asyncDispose]() {
      await listener.close();
      await server.shutdown();
    },
  };
}

/** A node that other nodes reach by TCP, and pages by WebSocket. */
export function siteNode(
  options: { readonly cluster: string; readonly id?: string },
): Node<PageEvents> {
  return createNode<PageEvents>({
    ...options,
    meta: "site",
    transport: combine(tcp(), websocket()),
    router: hopRouter(),
  });
}

const USAGE: Usage = {
  synopsis: "browser.ts [cluster port] [host port]",
  permissions: "--allow-net=127.0.0.1 --allow-run=deno",
  about:
    "A page that is a node. It joins the cluster at the cluster port, or starts one,\n" +
    "and serves the page on the host port (any free one if left out).",
  positional: 2,
  options: NODE_OPTIONS,
};

async function main(args: Arguments): Promise<void> {
  const { options, listen, entries } = await nodeArguments(args);
  const hostPort = portOf(args.positional[1] ?? "0", "The host port");
  const stop = interrupted();

  await using site = serveSite(await bundlePage(), hostPort);
  await using node = siteNode(options);
  node.on("say", (text, { from }) => console.log(`${from}: ${text}`));
  await node.listen(listen);
  await node.listen(site.listener);
  await node.join(...entries);
  console.log(`open ${site.url}`);
  await stop;
}

if (import.meta.main) await run(USAGE, main);
