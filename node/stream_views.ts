/** The other ways to read and to write a stream, made of its `receive` and `send`. */

/** What is read from. */
interface Source {
  receive(): Promise<unknown>;
  abort(reason?: unknown): void;
}

/** What is written to. */
interface Sink {
  send(message: unknown): Promise<void>;
  close(): Promise<void>;
  abort(reason?: unknown): void;
}

/** What a stream receives, as a stream of the platform. */
export function readableOf(source: Source): ReadableStream<unknown> {
  return new ReadableStream<unknown>({
    pull: async (controller) => {
      const message = await source.receive();
      if (message === undefined) controller.close();
      else controller.enqueue(message);
    },
    cancel: (reason) => source.abort(reason),
  }, { highWaterMark: 0 });
}

/** What a stream sends, as a stream of the platform. */
export function writableOf(sink: Sink): WritableStream<unknown> {
  return new WritableStream<unknown>({
    write: (message) => sink.send(message),
    close: () => sink.close(),
    abort: (reason) => sink.abort(reason),
  });
}

/** What a stream receives, one after the other. */
export function iteratorOf(
  source: Pick<Source, "receive">,
): AsyncIterator<unknown> {
  return {
    next: async () => {
      const value = await source.receive();
      return value === undefined
        ? { done: true, value }
        : { done: false, value };
    },
  };
}
