import { type Address, type Connection, ConnectionError } from "./types.ts";

/** What iterating over a connection gives: what `receive` does, until the end. */
export async function* messagesOf(
  connection: Pick<Connection, "receive">,
): AsyncGenerator<Uint8Array> {
  for (;;) {
    const message = await connection.receive();
    if (message === null) return;
    yield message;
  }
}

/** What pending calls reject with once a connection was closed for a reason. */
export function closedFor(remote: Address, reason: Error): ConnectionError {
  return new ConnectionError(
    `The connection to "${remote}" was closed: ${reason.message}`,
    { cause: reason },
  );
}
