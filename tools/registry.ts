import { type Member, parseConfig, ROOT, toMember } from "./members.ts";
import { readTar } from "./tar.ts";

/** One version of a package, as a registry keeps it. */
export interface Release extends Pick<Member, "name" | "version" | "exports"> {
  /** The contents by path, which starts with a slash. */
  readonly files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
}

/** A stand-in for JSR on the loopback interface. */
export interface Registry extends AsyncDisposable {
  /** What `JSR_URL` is set to. */
  readonly url: string;
  /** What it has, by name: what was added, and what `deno publish` sent. */
  readonly releases: ReadonlyMap<string, Release>;
  /** Offers a release, in place of an earlier one of the same name. */
  add(release: Release): void;
}

/**
 * Serves what `deno publish` and a program that imports `jsr:` specifiers ask of JSR
 * when `JSR_URL` names this server: it takes uploads with any token, and keeps one
 * version of each package, in memory.
 */
export function registry(): Registry {
  const releases = new Map<string, Release>();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) => answer(request, releases),
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}/`,
    releases,
    add(release) {
      releases.set(release.name, release);
    },
    async [Symbol.asyncDispose]() {
      await server.shutdown();
    },
  };
}

async function answer(
  request: Request,
  releases: Map<string, Release>,
): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (request.method === "POST") return await publish(request, releases);
  if (pathname.startsWith("/api/")) {
    // Every package can be published to; no version of it exists before that.
    const isVersion = pathname.includes("/versions/");
    return Response.json({}, { status: isVersion ? 404 : 200 });
  }
  const [, name = "", rest = ""] = /^\/(@[^/]+\/[^/]+)\/(.+)$/.exec(pathname) ??
    [];
  const release = releases.get(name);
  if (release === undefined) return new Response(null, { status: 404 });
  const { version } = release;
  if (rest === "meta.json") return Response.json(metaOf(release));
  if (rest === `${version}_meta.json`) {
    return Response.json(await versionMetaOf(release));
  }
  const file = rest.startsWith(`${version}/`)
    ? release.files.get(rest.slice(version.length))
    : undefined;
  return new Response(file ?? null, { status: file === undefined ? 404 : 200 });
}

async function publish(
  request: Request,
  releases: Map<string, Release>,
): Promise<Response> {
  if (request.body === null) return new Response(null, { status: 400 });
  const tar = request.body.pipeThrough(new DecompressionStream("gzip"));
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const [path, contents] of readTar(await new Response(tar).bytes())) {
    files.set(path.replace(/^\.?\/?/, "/"), contents.slice());
  }
  const config = parseConfig(new TextDecoder().decode(files.get("/deno.json")));
  const { name, version, exports } = toMember(ROOT, config);
  releases.set(name, { name, version, exports, files });
  return Response.json({ id: name, status: "success", error: null });
}

function metaOf({ name, version }: Release): unknown {
  const [scope, bare] = name.slice(1).split("/");
  const createdAt = "2020-01-01T00:00:00.000Z";
  return {
    scope,
    name: bare,
    latest: version,
    versions: { [version]: { createdAt } },
  };
}

async function versionMetaOf({ exports, files }: Release): Promise<unknown> {
  const manifest: Record<string, { size: number; checksum: string }> = {};
  for (const [path, contents] of files) {
    const digest = new Uint8Array(
      await crypto.subtle.digest("SHA-256", contents),
    );
    manifest[path] = {
      size: contents.length,
      checksum: `sha256-${digest.toHex()}`,
    };
  }
  return { exports: Object.fromEntries(exports), manifest };
}
