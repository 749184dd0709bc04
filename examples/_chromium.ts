/** Where Debian, Ubuntu and Chrome's own packages put it. */
const PLACES = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
];

/** A browser without a window, on one page. Disposing ends it. */
export interface Browser extends AsyncDisposable {
  /** Rejects when the browser ends by itself, with what it said. */
  readonly ended: Promise<never>;
}

/** Where a Chromium is, or null: there is none. */
export function findChromium(): string | null {
  return PLACES.find((path) => isFile(path)) ?? null;
}

/** Opens a page in a browser of its own, with nothing from an earlier one. */
export async function openPage(
  chromium: string,
  url: string,
): Promise<Browser> {
  const profile = await Deno.makeTempDir({ prefix: "devts_page_" });
  const child = new Deno.Command(chromium, {
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--no-first-run",
      `--user-data-dir=${profile}`,
      url,
    ],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const said = new Response(child.stderr).text();
  const ended = said.then((text): never => {
    throw new Error(`Chromium ended: ${text.slice(-2_000)}`);
  });
  ended.catch(() => {});
  return {
    ended,
    async [Symbol.asyncDispose]() {
      killQuietly(child);
      await child.status;
      // Its helpers end with it, and are still writing until then.
      await said;
      await Deno.remove(profile, { recursive: true });
    },
  };
}

function killQuietly(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch {
    // It has ended already.
  }
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
