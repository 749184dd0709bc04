/** What the pages for readers point at is there. */
import { assert, assertEquals } from "@std/assert";

const ROOT = new URL("../", import.meta.url);
/** Whose README says which of their files does what. */
const GUIDED: readonly string[] = ["node/", "routing/"];

/** The files of some kind under a folder, hidden ones and what others wrote left out. */
async function* filesUnder(folder: URL, ending: string): AsyncIterable<URL> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (name.startsWith(".") || name === "node_modules") continue;
    if (isDirectory) {
      yield* filesUnder(new URL(`${name}/`, folder), ending);
    } else if (name.endsWith(ending)) yield new URL(name, folder);
  }
}

/** A page without its code. */
async function textOf(page: URL): Promise<string> {
  return (await Deno.readTextFile(page)).replaceAll(/^```.*?^```/gms, "");
}

/** The names by which others can point at the headings of a page. */
function anchorsOf(text: string): Set<string> {
  const headings = text.matchAll(/^#+ (.*)$/gm);
  return new Set(
    [...headings].map(([, heading = ""]) =>
      heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase()
        .replaceAll(/[^\p{L}\p{N}_ -]/gu, "").trim().replaceAll(" ", "-")
    ),
  );
}

async function exists(file: URL): Promise<boolean> {
  try {
    await Deno.stat(file);
    return true;
  } catch {
    return false;
  }
}

Deno.test("pages link to files and headings that there are", async () => {
  const broken: string[] = [];
  let links = 0;
  for await (const page of filesUnder(ROOT, ".md")) {
    const targets = (await textOf(page)).matchAll(/\]\(([^)\s]+)\)/g);
    for (const [, target = ""] of targets) {
      if (/^[a-z]+:/.test(target)) continue;
      links++;
      const file = new URL(target, page);
      const anchor = decodeURIComponent(file.hash.slice(1));
      file.hash = "";
      const isThere = await exists(file) &&
        (anchor === "" || anchorsOf(await textOf(file)).has(anchor));
      if (!isThere) broken.push(`${page.pathname}: ${target}`);
    }
  }
  assertEquals(broken, []);
  assert(links > 100, `${links} links were found`);
});

Deno.test("a package's README names files that there are", async () => {
  const missing: string[] = [];
  for (const folder of GUIDED) {
    const names: string[] = [];
    for await (const { pathname } of filesUnder(new URL(folder, ROOT), ".ts")) {
      names.push(pathname.slice(pathname.lastIndexOf("/") + 1));
    }
    const text = await textOf(new URL(`${folder}README.md`, ROOT));
    for (const [, name = ""] of text.matchAll(/`([\w*]+\.ts)`/g)) {
      const [start = "", end = ""] = name.split("*");
      const isThere = name.includes("*")
        ? names.some((one) => one.startsWith(start) && one.endsWith(end))
        : names.includes(name);
      if (!isThere) missing.push(`${folder}README.md: ${name}`);
    }
  }
  assertEquals(missing, []);
});
