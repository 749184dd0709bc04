import { assertEquals } from "@std/assert";
import { checkModules, checkTree, format, type Violation } from "./layers.ts";
import { scan } from "./scan.ts";

interface Case {
  readonly path: string;
  readonly source: string;
}

function check(path: string, source: string): readonly Violation[] {
  return checkModules(new Map([[path, scan(source)]]));
}

const FORBIDDEN: readonly Case[] = [
  {
    path: "transport/a.ts",
    source: `import type { Peer } from "@devts/routing";`,
  },
  {
    path: "transport/a_test.ts",
    source: `import { v1 } from "@devts/protocol/v1";`,
  },
  { path: "routing/a.ts", source: `export * from "@devts/protocol";` },
  {
    path: "protocol/a.ts",
    source: `const a = await import("@devts/transport");`,
  },
  { path: "plugins/a.ts", source: `import type { Node } from "@devts/node";` },
  {
    path: "plugins/a.ts",
    source: `import { analytics } from "@devts/plugins/analytics";`,
  },
  {
    path: "node/a.ts",
    source: `import { ConnectionError } from "@devts/transport";`,
  },
  { path: "node/a.ts", source: `import { type Peer } from "@devts/routing";` },
  {
    path: "node/a.ts",
    source: `import type { Plugin } from "@devts/plugins";`,
  },
  {
    path: "node/a.ts",
    source: `import type { Router } from "../routing/types.ts";`,
  },
  { path: "mod.ts", source: `import { tcp } from "./transport/tcp.ts";` },
  { path: "a_test.ts", source: `import { tcp } from "./transport/tcp.ts";` },
  {
    path: "node/a_test.ts",
    source: `import { listen } from "../transport/_support_test.ts";`,
  },
  { path: "examples/a.ts", source: `import { createNode } from "../mod.ts";` },
  { path: "tools/a.ts", source: `import { tcp } from "../transport/tcp.ts";` },
  { path: "node/a.ts", source: `import { getLogger } from "@std/log";` },
  {
    path: "plugins/a.ts",
    source: `import { getLogger } from "jsr:@std/log@^0.224.0";`,
  },
  {
    path: "protocol/msgpack.ts",
    source: `import { Packr } from "msgpackr/pack";`,
  },
  {
    path: "mod.ts",
    source: `import { Packr } from "npm:msgpackr@2.1.3/pack";`,
  },
  {
    path: "routing/peer.ts",
    source: `import { connect } from "@nats-io/transport-node";`,
  },
  { path: "routing/picture.ts", source: `import { forceX } from "d3-force";` },
  { path: "routing/a.ts", source: `import fc from "fast-check";` },
  { path: "examples/a.ts", source: `import { assert } from "@std/assert";` },
  {
    path: "transport/a_bench.ts",
    source: `import { assert } from "@std/assert/assert";`,
  },
  { path: "transport/a.ts", source: `import { connect } from "node:net";` },
  { path: "transport/tls.ts", source: `import { TLSSocket } from "node:tls";` },
  {
    path: "transport/_closable_tls.ts",
    source: `import { connect } from "node:net";`,
  },
  {
    path: "node/storage/sqlite.ts",
    source: `import { DatabaseSync } from "node:sqlite";`,
  },
  {
    path: "node/storage/sqlite.ts",
    source: `import { rename } from "node:fs/promises";`,
  },
  { path: "protocol/a.ts", source: `import cbor from "npm:cbor-x@1";` },
  { path: "routing/a.ts", source: `const a = Deno.env;` },
  { path: "node/a.ts", source: "const a = `${globalThis.Deno.pid}`;" },
  { path: "node/a.ts", source: `const a = Date.now();` },
  { path: "node/a.ts", source: `const a = new Date();` },
  { path: "protocol/a.ts", source: `const a = Math.random();` },
  { path: "routing/testing.ts", source: `setTimeout(run, 5);` },
  { path: "routing/a.ts", source: `globalThis.setInterval(run, 5);` },
  { path: "node/a.ts", source: `const now = performance.now;` },
];

const ALLOWED: readonly Case[] = [
  {
    path: "a_test.ts",
    source: `import { listen } from "./transport/_support_test.ts";`,
  },
  {
    path: "transport/tcp.ts",
    source: `import { frame } from "./framing.ts"; Deno.listen();`,
  },
  {
    path: "transport/a_test.ts",
    source: `import { assert } from "@std/assert";`,
  },
  {
    path: "transport/testing.ts",
    source: `import { assert } from "@std/assert";`,
  },
  { path: "routing/testing.ts", source: `Deno.test("a", () => {});` },
  {
    path: "routing/clock.ts",
    source: `setTimeout(run, performance.now() - Date.now());`,
  },
  {
    path: "routing/a_test.ts",
    source: `import fc from "fast-check"; Date.now();`,
  },
  {
    path: "routing/a_bench.ts",
    source: `Deno.bench("a", () => Math.random());`,
  },
  {
    path: "protocol/msgpack.ts",
    source: `import { encode } from "@std/msgpack/encode";`,
  },
  {
    path: "protocol/msgpackr.ts",
    source: `import { Packr } from "msgpackr/pack";`,
  },
  {
    path: "routing/nats.ts",
    source: `import { connect } from "@nats-io/transport-node";`,
  },
  {
    path: "node/storage/_sqlite_worker.ts",
    source: `import { DatabaseSync } from "node:sqlite";`,
  },
  {
    path: "node/storage/_sqlite_worker.ts",
    source: `import { rename } from "node:fs/promises";`,
  },
  {
    path: "transport/_closable_tls.ts",
    source: `import { TLSSocket } from "node:tls";`,
  },
  {
    path: "routing/_picture_layout.ts",
    source: `import { forceX } from "d3-force";`,
  },
  { path: "protocol/vectors/a.ts", source: `import { b } from "../b.ts";` },
  {
    path: "transport/a_test.ts",
    source: `import { X509Certificate } from "npm:@peculiar/x509@1.14.3";`,
  },
  {
    path: "plugins/a.ts",
    source: `import { wrapTransport } from "@devts/transport";`,
  },
  {
    path: "node/a.ts",
    source: `import type { Connection } from "@devts/transport";`,
  },
  {
    path: "node/a.ts",
    source: `// Deno, Date.now()\nclock.setTimeout("Math.random()");`,
  },
  {
    path: "node/a_test.ts",
    source: `import { createNode } from "@devts/devts";`,
  },
  {
    path: "node/a_test.ts",
    source: `import { memory } from "@devts/transport/memory";`,
  },
  {
    path: "mod.ts",
    source:
      `import { getLogger } from "@std/log"; import { v1 } from "@devts/protocol/v1";`,
  },
  {
    path: "mod_test.ts",
    source: `import { checkTree } from "./tools/layers.ts";`,
  },
  {
    path: "examples/a.ts",
    source:
      `import { Hono } from "hono"; import { createNode } from "@devts/devts";`,
  },
];

for (const { path, source } of FORBIDDEN) {
  Deno.test(`checkModules() refuses ${path}: ${source}`, () => {
    const lines = check(path, `\n${source}`).map(({ file, line }) =>
      `${file}:${line}`
    );
    assertEquals(lines, [`${path}:2`]);
  });
}

for (const { path, source } of ALLOWED) {
  Deno.test(`checkModules() accepts ${path}: ${source}`, () => {
    assertEquals(check(path, source), []);
  });
}

const SUITE = scan(
  `import { assert } from "@std/assert"; Deno.test("a", assert);`,
);

Deno.test("checkModules() takes private files that only tests import for tests", () => {
  const violations = checkModules(
    new Map([
      ["routing/testing.ts", scan(`export * from "./_router_suite.ts";`)],
      ["routing/_router_suite.ts", scan(`import "./_suite.ts";`)],
      ["routing/_suite.ts", SUITE],
      ["routing/peer_test.ts", scan(`import "./_suite.ts";`)],
    ]),
  );
  assertEquals(violations, []);
});

Deno.test("checkModules() does not once another module imports them too", () => {
  const violations = checkModules(
    new Map([
      ["routing/testing.ts", scan(`export * from "./_router_suite.ts";`)],
      ["routing/_router_suite.ts", scan(`import "./_suite.ts";`)],
      ["routing/_suite.ts", SUITE],
      ["routing/peer.ts", scan(`import "./_router_suite.ts";`)],
    ]),
  );
  assertEquals(violations.map(({ file }) => file), [
    "routing/_suite.ts",
    "routing/_suite.ts",
  ]);
});

Deno.test("checkModules() takes a private file that nobody imports for no test", () => {
  const violations = checkModules(new Map([["routing/_suite.ts", SUITE]]));
  assertEquals(violations.length, 2);
});

Deno.test("format() names the file, the line and the rule", () => {
  const [violation] = check("routing/a.ts", `\nimport "@devts/node";`);
  assertEquals(
    violation && format(violation),
    'routing/a.ts:2: routing/ does not import "@devts/node"',
  );
});

Deno.test("checkTree() reads the modules of every folder but hidden ones", async () => {
  const root = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${root}/routing/deep`, { recursive: true });
    await Deno.mkdir(`${root}/.git`);
    await Deno.writeTextFile(`${root}/mod.ts`, "");
    await Deno.writeTextFile(`${root}/README.md`, "");
    await Deno.writeTextFile(`${root}/.git/a.ts`, `import "./transport/a.ts";`);
    await Deno.writeTextFile(
      `${root}/routing/deep/a.ts`,
      `import "@devts/node";`,
    );
    const { files, violations } = await checkTree(new URL(`file://${root}/`));
    assertEquals(files, ["mod.ts", "routing/deep/a.ts"]);
    assertEquals(violations.map(({ file }) => file), ["routing/deep/a.ts"]);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});
