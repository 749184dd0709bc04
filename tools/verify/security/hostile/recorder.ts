/** What both ends of a connection sent. */
export interface Recorded {
  readonly dialled: Uint8Array;
  readonly accepted: Uint8Array;
}

/** How long who is sent a recording may take to close, in ms. */
const PATIENCE = 8_000;

/**
 * Stands between two nodes and keeps all that passes; or in place of one, and says what
 * that had said.
 */
export class Recorder implements AsyncDisposable {
  readonly address: string;
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #links: { dialled: Uint8Array[]; accepted: Uint8Array[] }[] = [];
  readonly #open = new Set<Deno.TcpConn>();
  readonly #running: Promise<void>;

  /** @param target Whom it passes all on to; null: nobody, it says `answer`. */
  constructor(target: string | null, answer: Uint8Array = new Uint8Array()) {
    this.address = `tcp://127.0.0.1:${this.#listener.addr.port}`;
    this.#running = this.#run(target, answer);
  }

  /** What passed so far, by connection. */
  get links(): Recorded[] {
    return this.#links.map(({ dialled, accepted }) => ({
      dialled: joined(dialled),
      accepted: joined(accepted),
    }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const conn of this.#open) close(conn);
    await this.#running;
  }

  async #run(target: string | null, answer: Uint8Array): Promise<void> {
    const passing: Promise<unknown>[] = [];
    try {
      for await (const conn of this.#listener) {
        this.#open.add(conn);
        passing.push(
          target === null
            ? writeAll(conn, answer).then(() => drain(conn))
            : this.#pass(conn, target),
        );
      }
    } catch {
      // It is closed.
    }
    await Promise.allSettled(passing);
  }

  async #pass(conn: Deno.TcpConn, target: string): Promise<void> {
    const other = await dial(target);
    this.#open.add(other);
    const link = { dialled: [], accepted: [] };
    this.#links.push(link);
    await Promise.allSettled([
      copy(conn, other, link.dialled),
      copy(other, conn, link.accepted),
    ]);
  }
}

/** Sends a recording, and waits until the other end closes the connection. */
export async function replay(
  target: string,
  bytes: Uint8Array,
): Promise<void> {
  const conn = await dial(target);
  const timer = setTimeout(() => close(conn), PATIENCE);
  await writeAll(conn, bytes);
  await drain(conn);
  clearTimeout(timer);
}

function dial(address: string): Promise<Deno.TcpConn> {
  const { hostname, port } = new URL(address.replace("tcp:", "http:"));
  return Deno.connect({ hostname, port: Number(port) });
}

async function copy(
  from: Deno.TcpConn,
  to: Deno.TcpConn,
  record: Uint8Array[],
): Promise<void> {
  try {
    for await (const bytes of from.readable) {
      record.push(bytes.slice());
      await writeAll(to, bytes);
    }
  } finally {
    close(to);
  }
}

async function writeAll(conn: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  try {
    for (let at = 0; at < bytes.length;) {
      at += await conn.write(bytes.subarray(at));
    }
  } catch {
    // The other end has closed.
  }
}

async function drain(conn: Deno.TcpConn): Promise<void> {
  try {
    const ignored = new Uint8Array(16_384);
    while (await conn.read(ignored) !== null);
  } catch {
    // It was reset.
  }
  close(conn);
}

function close(conn: Deno.TcpConn): void {
  try {
    conn.close();
  } catch {
    // It was closed already.
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}
