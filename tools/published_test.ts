import { assert, assertEquals, assertMatch } from "@std/assert";
import { publishedMembers, readMember, ROOT } from "./members.ts";
import { type Registry, registry, type Release } from "./registry.ts";
import { scan } from "./scan.ts";

/** What a published module may import from elsewhere. */
const PUBLISHED =
  /^jsr:@(?:std|devts)\/[a-z]+@\^\d|^npm:\/?(?:msgpackr|d3-force|fast-check|@peculiar\/x509|@nats-io\/transport-node)@\^?\d|^node:(?:fs\/promises|sqlite|tls|stream|timers)$/;

const decoder = new TextDecoder();

async function deno(
  args: string[],
  cwd: URL,
  env: Record<string, string>,
): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd,
    env: { ...env, NO_COLOR: "1" },
  }).output();
  assertEquals(code, 0, decoder.decode(stderr));
  return decoder.decode(stdout);
}

/**
 * The real `@std/*` cannot be asked for where only the npm registry is reachable:
 * the code that answers for it in the checkout stands in, served as if published.
 */
async function addStandIns(jsr: Registry): Promise<void> {
  for await (const { name: folder } of Deno.readDir(new URL("std/", ROOT))) {
    const url = new URL(`std/${folder}/`, ROOT);
    const files = new Map<string, Uint8Array<ArrayBuffer>>();
    for await (const { name } of Deno.readDir(url)) {
      files.set(`/${name}`, await Deno.readFile(new URL(name, url)));
    }
    jsr.add({ ...await readMember(url), files });
  }
}

async function publishMembers(jsr: Registry): Promise<readonly Release[]> {
  const members = await publishedMembers();
  // Types are checked by the dry run, and again from the outside.
  const args = [
    "publish",
    "--token=none",
    "--allow-dirty",
    "--no-provenance",
    "--no-check",
  ];
  await Promise.all(
    members.map(({ folder }) => deno(args, folder, { JSR_URL: jsr.url })),
  );
  return members.flatMap(({ name }) => jsr.releases.get(name) ?? []);
}

function foreignImports({ files }: Release): string[] {
  return [...files].flatMap(([path, contents]) => {
    if (!path.endsWith(".ts")) return [];
    const { imports } = scan(decoder.decode(contents));
    return imports.map(({ specifier }) => specifier).filter((it) =>
      !/^\.\.?\//.test(it)
    );
  });
}

/** A folder with the outside program and a configuration that knows package names only. */
async function layOutside(
  folder: URL,
  releases: readonly Release[],
): Promise<void> {
  const source = new URL("tools/outside/", ROOT);
  for await (const { name } of Deno.readDir(source)) {
    await Deno.copyFile(new URL(name, source), new URL(name, folder));
  }
  const imports = Object.fromEntries(
    releases.map(({ name, version }) => [name, `jsr:${name}@^${version}`]),
  );
  const { minimumDependencyAge, compilerOptions, unstable } = JSON.parse(
    await Deno.readTextFile(new URL("deno.json", ROOT)),
  );
  await Deno.writeTextFile(
    new URL("deno.json", folder),
    JSON.stringify({
      imports,
      nodeModulesDir: "none",
      minimumDependencyAge,
      compilerOptions,
      unstable,
    }),
  );
}

/** A cache of its own, which shares the npm packages of the usual one. */
async function cacheIn(folder: URL): Promise<string> {
  const cache = new URL("cache/", folder);
  await Deno.mkdir(cache);
  const { npmCache } = JSON.parse(await deno(["info", "--json"], folder, {}));
  await Deno.mkdir(npmCache, { recursive: true });
  await Deno.symlink(npmCache, new URL("npm", cache));
  return cache.pathname;
}

Deno.test("the published packages serve a program outside the checkout", async (t) => {
  await using jsr = registry();
  await addStandIns(jsr);
  const releases = await publishMembers(jsr);

  await t.step(
    "each entry is among the published files, and no test is",
    () => {
      for (const { name, exports, files } of releases) {
        for (const file of exports.values()) {
          assert(
            files.has(file.slice(1)),
            `${name} ${file}`,
          );
        }
        for (const path of files.keys()) {
          assert(
            !/_(test|bench)\.ts$/.test(path),
            `${name}${path}`,
          );
        }
      }
    },
  );

  await t.step(
    "they import each other and the standard library from JSR",
    () => {
      const imports = releases.flatMap(foreignImports);
      for (const specifier of imports) assertMatch(specifier, PUBLISHED);
      assert(imports.includes("jsr:@std/msgpack@^1.0.3"), imports.join(", "));
      assert(
        imports.includes("jsr:@devts/transport@^0.1.0"),
        imports.join(", "),
      );
    },
  );

  const path = await Deno.makeTempDir();
  const folder = new URL(`file://${path}/`);
  try {
    await layOutside(folder, releases);
    const env = { JSR_URL: jsr.url, DENO_DIR: await cacheIn(folder) };

    await t.step(
      "a transport and a router of somebody else work with them",
      async () => {
        const printed = await deno(
          ["run", "-A", "--check", "main.ts", `unix://${path}/socket`],
          folder,
          env,
        );
        assertEquals(printed.trimEnd().split("\n"), [
          "entry nodes: 1",
          'far heard "hello" from near',
          "sum: 3",
          "connections: 1",
        ]);
      },
    );

    await t.step("the program saw no other file of the checkout", async () => {
      const graph = JSON.parse(
        await deno(["info", "--json", "main.ts"], folder, env),
      );
      const specifiers: string[] = graph.modules.map((
        module: { readonly specifier: string },
      ) => module.specifier);
      const published = specifiers.filter((it) => it.startsWith(jsr.url));
      assert(published.length > 0);
      const known = [folder.href, jsr.url, "npm:", "node:"];
      const strangers = specifiers.filter((it) =>
        !known.some((start) => it.startsWith(start))
      );
      assertEquals(strangers, []);
    });
  } finally {
    await Deno.remove(path, { recursive: true });
  }
});
