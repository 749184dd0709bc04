/** What nodes say to each other, over every router and every transport. */
import { assertEquals } from "@std/assert";
import type { NodeOptions } from "@devts/devts";
import { createSecret } from "@devts/protocol/secret";
import type { RouterFactory } from "@devts/routing";
import { gossipRouter } from "@devts/routing/gossip";
import { hopRouter } from "@devts/routing/hop";
import { mapRouter } from "@devts/routing/map";
import { natsRouter } from "@devts/routing/nats";
import { pathRouter } from "@devts/routing/path";
import { memory } from "@devts/transport/memory";
import { quic } from "@devts/transport/quic";
import { tls } from "@devts/transport/tls";
import { websocket } from "@devts/transport/websocket";
import { listening, MESSAGING, trio } from "./_messaging_suite_test.ts";
import { NatsServer, SERVER } from "./routing/_nats_server_test.ts";
import { createCertificate } from "./transport/_certificate_test.ts";

const { cert, key } = await createCertificate("node.internal");
const believing = { cert, key, caCerts: [cert] };
const secret = createSecret();

/** Transports, by where a node listens; every node has a link to every other one. */
const TRANSPORTS: readonly (readonly [
  string,
  string,
  () => Partial<NodeOptions>,
])[] = [
  ["memory()", "memory://0", () => ({ transport: memory() })],
  ["tcp()", "tcp://127.0.0.1:0", () => ({})],
  ["tcp() with a secret", "tcp://127.0.0.1:0", () => ({ secret })],
  ["tls()", "tls://127.0.0.1:0", () => ({ transport: tls(believing) })],
  ["quic()", "quic://127.0.0.1:0", () => ({ transport: quic(believing) })],
  ["websocket()", "ws://127.0.0.1:0", () => ({ transport: websocket() })],
];

/** Routers that relay: only the node in the middle listens. */
const ROUTERS: readonly (readonly [string, () => RouterFactory])[] = [
  ["hopRouter()", hopRouter],
  ["pathRouter()", pathRouter],
  ["mapRouter()", mapRouter],
  ["gossipRouter()", gossipRouter],
];

for (const [fact, holds] of Object.entries(MESSAGING)) {
  for (const [name, address, options] of TRANSPORTS) {
    Deno.test(`${fact}, over ${name}`, async () => {
      await using stack = new AsyncDisposableStack();
      await holds(await trio(stack, options(), listening(address)));
    });
  }
  for (const [name, router] of ROUTERS) {
    Deno.test(`${fact}, over ${name} by a relay`, async () => {
      await using stack = new AsyncDisposableStack();
      const inTheMiddle = listening("tcp://127.0.0.1:0", ["bob"]);
      await holds(await trio(stack, { router: router() }, inTheMiddle));
    });
  }
  Deno.test({
    name: `${fact}, over natsRouter()`,
    ignore: SERVER === undefined,
    fn: async () => {
      await using stack = new AsyncDisposableStack();
      const { url: servers } = stack.use(await NatsServer.start());
      const router = natsRouter({ servers, cluster: "test" });
      await holds(await trio(stack, { router }, null));
    },
  });
}

Deno.test("nodes say all to each other over wss, behind web servers that end TLS", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/cert.pem`, cert);
    await Deno.writeTextFile(`${folder}/key.pem`, key);
    // What a runtime believes is set where it starts.
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "--quiet", "--allow-net=127.0.0.1,localhost"],
        ...[`--allow-read=${folder}`, `--cert=${folder}/cert.pem`],
        import.meta.resolve("./_messaging_over_wss.ts"),
        folder,
      ],
      stderr: "inherit",
    }).output();
    const lines = new TextDecoder().decode(stdout).trim().split("\n");
    assertEquals(lines, Object.keys(MESSAGING));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
