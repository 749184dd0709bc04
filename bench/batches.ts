import type { Conn } from "./carriers.ts";

/** What stands before each frame: its length, as u32. */
export const HEADER = 4;

/** Bytes queued for one socket above which the publisher waits, at least. */
const HIGH_WATER_MARK = 1_048_576;
/** Batches queued for one socket above which the publisher waits, at least. */
const HIGH_WATER_BATCHES = 4;

/** Frames for all sockets, given back once all have written it. */
interface Batch {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** How much of it is filled. */
  length: number;
  /** Sockets that have not written it. */
  pending: number;
}

/** Copies messages into batches that are shared by all sockets. */
export class Batches {
  readonly #size: number;
  readonly #sockets: readonly Socket[];
  readonly #free: Batch[] = [];
  #open: Batch;

  /** Writes in batches of so many bytes. */
  constructor(conns: readonly Conn[], size: number) {
    const limit = Math.max(HIGH_WATER_MARK, size * HIGH_WATER_BATCHES);
    const written = (batch: Batch) => {
      if (--batch.pending === 0) this.#free.push(batch);
    };
    this.#size = size;
    this.#sockets = conns.map((conn) => new Socket(conn, limit, written));
    this.#open = this.#make();
  }

  /** Adds a message, which is copied; a promise where the publisher should wait. */
  add(message: Uint8Array): Promise<unknown> | undefined {
    const room = this.#open.length + HEADER + message.length > this.#size
      ? this.#send()
      : undefined;
    const { bytes, length } = this.#open;
    writeLength(bytes, length, message.length);
    bytes.set(message, length + HEADER);
    this.#open.length = length + HEADER + message.length;
    return room;
  }

  /** Resolves once everything is written. */
  async flush(): Promise<void> {
    this.#send();
    for (const socket of this.#sockets) await socket.flush();
  }

  #send(): Promise<unknown> | undefined {
    const batch = this.#open;
    batch.pending = this.#sockets.length;
    this.#open = this.#make();
    const room = this.#sockets.flatMap((socket) => socket.send(batch) ?? []);
    return room.length > 0 ? Promise.all(room) : undefined;
  }

  #make(): Batch {
    const batch = this.#free.pop();
    if (batch === undefined) {
      return { bytes: new Uint8Array(this.#size), length: 0, pending: 0 };
    }
    batch.length = 0;
    return batch;
  }
}

/** Writes batches to a connection, one write at a time. */
class Socket {
  readonly #conn: Conn;
  readonly #limit: number;
  readonly #written: (batch: Batch) => void;
  #batches: Batch[] = [];
  #queued = 0;
  #writing: Promise<void> | null = null;
  #room: PromiseWithResolvers<void> | null = null;

  constructor(
    conn: Conn,
    limit: number,
    written: (batch: Batch) => void,
  ) {
    this.#conn = conn;
    this.#limit = limit;
    this.#written = written;
  }

  /** Queues a batch; a promise where the publisher should wait. */
  send(batch: Batch): Promise<void> | undefined {
    this.#batches.push(batch);
    this.#queued += batch.length;
    this.#writing ??= this.#write();
    if (this.#queued < this.#limit) return undefined;
    this.#room ??= Promise.withResolvers<void>();
    return this.#room.promise;
  }

  async flush(): Promise<void> {
    await this.#writing;
  }

  async #write(): Promise<void> {
    while (this.#batches.length > 0) {
      const batches = this.#batches;
      this.#batches = [];
      for (const batch of batches) {
        await writeAll(this.#conn, batch.bytes.subarray(0, batch.length));
        this.#queued -= batch.length;
        this.#written(batch);
        if (this.#queued < this.#limit) this.#resume();
      }
    }
    this.#writing = null;
  }

  #resume(): void {
    this.#room?.resolve();
    this.#room = null;
  }
}

/** Joins the frames that come while a write is under way into the next one. */
export class Joined {
  readonly #conn: Conn;
  #open = new Uint8Array(262_144);
  #other = new Uint8Array(262_144);
  #end = 0;
  #writing: Promise<void> | null = null;

  constructor(conn: Conn) {
    this.#conn = conn;
  }

  /**
   * Adds a message, which is copied.
   *
   * @throws {RangeError} If more than 256 KiB would wait.
   */
  add(message: Uint8Array): void {
    writeLength(this.#open, this.#end, message.length);
    this.#open.set(message, this.#end + HEADER);
    this.#end += HEADER + message.length;
  }

  /** Lets them go, as soon as nothing is being written; resolves once all are written. */
  flush(): Promise<void> {
    return this.#writing ??= this.#write();
  }

  async #write(): Promise<void> {
    while (this.#end > 0) {
      const batch = this.#open.subarray(0, this.#end);
      [this.#open, this.#other] = [this.#other, this.#open];
      this.#end = 0;
      await writeAll(this.#conn, batch);
    }
    this.#writing = null;
  }
}

function writeLength(bytes: Uint8Array, start: number, length: number): void {
  bytes[start] = length >>> 24;
  bytes[start + 1] = length >>> 16;
  bytes[start + 2] = length >>> 8;
  bytes[start + 3] = length;
}

async function writeAll(conn: Conn, bytes: Uint8Array): Promise<void> {
  for (let start = 0; start < bytes.length;) {
    start += await conn.write(bytes.subarray(start));
  }
}
