/** Where Debian puts servers, and what `PATH` may lack. */
const FOLDERS: readonly string[] = [
  ...(Deno.env.get("PATH") ?? "").split(":"),
  "/usr/sbin",
];

/** Where `nats-server` is installed. */
export const SERVER: string | undefined = FOLDERS
  .map((folder) => `${folder}/nats-server`).find(isFile);

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/** A NATS server in a process of its own, on a port that stays its own. */
export class NatsServer implements AsyncDisposable {
  #port = -1;
  #clusterPort = -1;
  readonly #other: NatsServer | null;
  #child: Deno.ChildProcess | null = null;
  #read: Promise<void> = Promise.resolve();

  constructor(other: NatsServer | null) {
    this.#other = other;
  }

  /** Its URL. */
  get url(): string {
    return `nats://127.0.0.1:${this.#port}`;
  }

  /** Starts it, in one cluster with another; resolves once it takes connections. */
  static async start(other: NatsServer | null = null): Promise<NatsServer> {
    const server = new NatsServer(other);
    await server.restart();
    return server;
  }

  /** Starts it again, after it was killed. */
  async restart(): Promise<void> {
    const child = new Deno.Command(SERVER ?? "nats-server", {
      args: [
        ...["-a", "127.0.0.1", "-p", `${this.#port}`],
        ...["--cluster_name", "test"],
        ...["--cluster", `nats://127.0.0.1:${this.#clusterPort}`],
        ...this.#other === null
          ? []
          : ["--routes", `nats://127.0.0.1:${this.#other.#clusterPort}`],
      ],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    this.#child = child;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#read = this.#listen(child, resolve).finally(() =>
      reject(new Error("nats-server ended before it was ready"))
    );
    await promise;
  }

  /** Ends it at once. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    this.#child = null;
    child.kill("SIGKILL");
    await child.status;
    await this.#read;
  }

  /** Lets it stand still; resolves once all its threads do, where Linux tells. */
  async pause(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    child.kill("SIGSTOP");
    if (Deno.build.os !== "linux") return;
    const tasks = `/proc/${child.pid}/task`;
    for await (const { name } of Deno.readDir(tasks)) {
      const stopped = /^State:\s+T/m;
      while (!stopped.test(await Deno.readTextFile(`${tasks}/${name}/status`)));
    }
  }

  /** Lets it go on. */
  resume(): void {
    this.#child?.kill("SIGCONT");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  async #listen(child: Deno.ChildProcess, ready: () => void): Promise<void> {
    let text = "";
    for await (
      const part of child.stderr.pipeThrough(new TextDecoderStream())
    ) {
      text += part;
      const port = /client connections on 127\.0\.0\.1:(\d+)/.exec(text)?.[1];
      if (port !== undefined) this.#port = Number(port);
      const routes = /route connections on 127\.0\.0\.1:(\d+)/.exec(text)?.[1];
      if (routes !== undefined) this.#clusterPort = Number(routes);
      if (this.#clusterPort > 0 && text.includes("Server is ready")) ready();
    }
  }
}
