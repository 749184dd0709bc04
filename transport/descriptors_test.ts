/** What becomes of a listener where the process has no file descriptor left. */
import { assertEquals } from "@std/assert";
import { createCertificate } from "./_certificate_test.ts";
import { tcp } from "./tcp.ts";
import { tls } from "./tls.ts";
import type { Transport } from "./types.ts";

const { cert, key } = await createCertificate("node.internal");
const options = { cert, key, caCerts: [cert] };
/** Enough for the runtime, and for few connections more. */
const DESCRIPTORS = 40;

const cases: readonly (readonly [string, Transport])[] = [
  ["tcp", tcp()],
  ["tls", tls(options)],
];
for (const [name, transport] of cases) {
  Deno.test({
    name: `${name}() goes on accepting once there are descriptors again`,
    ignore: Deno.build.os === "windows",
    async fn() {
      await using server = await Server.start(name);
      const port = Number(server.address.split(":").at(-1));
      // The system takes them all, for the server to accept as far as it can.
      const strangers = await Promise.all(
        Array.from({ length: 2 * DESCRIPTORS }, () => Deno.connect({ port })),
      );
      await server.line("no descriptor is left");
      for (const stranger of strangers) stranger.close();

      const dialled = await transport.connect(server.address);
      await dialled.send(Uint8Array.of(1, 2, 3));
      assertEquals(await dialled.receive(), Uint8Array.of(1, 2, 3));
      await dialled.close();
    },
  });
}

/** A process that may open few files, and echoes the first message of each connection. */
class Server implements AsyncDisposable {
  address = "";
  readonly #child: Deno.ChildProcess;
  readonly #reader: ReadableStreamDefaultReader<string>;
  #unread = "";

  private constructor(name: string) {
    const program = `
      const { ${name}: make } = await import("${
      import.meta.resolve(`./${name}.ts`)
    }");
      const listener = await make(${
      JSON.stringify(options)
    }).listen("${name}://127.0.0.1:0");
      console.log(listener.address);
      // Whether one could be opened, all the time.
      const probe = setInterval(() => {
        try {
          Deno.openSync("/dev/null").close();
        } catch {
          clearInterval(probe);
          console.log("no descriptor is left");
        }
      }, 5);
      for await (const connection of listener) {
        connection.receive().then(async (message) => {
          if (message !== null) await connection.send(message);
          await connection.close();
        }).catch((error) => connection.close(error));
      }
    `;
    this.#child = new Deno.Command("sh", {
      args: [
        "-c",
        `ulimit -n ${DESCRIPTORS}; exec "$0" eval --no-config --no-lock --no-check --ext=ts "$1"`,
        Deno.execPath(),
        program,
      ],
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#reader = this.#child.stdout.pipeThrough(new TextDecoderStream())
      .getReader();
  }

  static async start(name: string): Promise<Server> {
    const server = new Server(name);
    server.address = await server.line(`${name}://`);
    return server;
  }

  /** The next line that begins with something. */
  async line(start: string): Promise<string> {
    for (;;) {
      const [line = "", ...rest] = this.#unread.split("\n");
      if (rest.length > 0) {
        this.#unread = rest.join("\n");
        if (line.startsWith(start)) return line;
        continue;
      }
      const { value, done } = await this.#reader.read();
      if (done) throw new Error(`The server ended before "${start}"`);
      this.#unread += value;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#reader.cancel();
  }
}
