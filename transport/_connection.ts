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

/** Why a message cannot be sent: it is longer than the connection takes. */
export function tooLongToSend(
  remote: Address,
  size: number,
  limit: number,
): RangeError {
  return new RangeError(
    `Cannot send ${size} bytes to "${remote}": a message has at most ${limit}`,
  );
}

/** What a connection breaks with over a message that is longer than was to be received. */
export function tooLongToReceive(
  remote: Address,
  size: number,
  limit: number,
): ConnectionError {
  const message =
    `Cannot receive ${size} bytes from "${remote}": a message has at most ${limit}`;
  return new ConnectionError(message, { cause: new RangeError(message) });
}

/** Why there is no receiving: a call of before is pending. */
export function alreadyReceiving(remote: Address): TypeError {
  return new TypeError(
    `Cannot receive from "${remote}": another receive is pending`,
  );
}

/** What `send` rejects with once this end has closed in order. */
export function closedToSend(remote: Address): ConnectionError {
  return new ConnectionError(
    `Cannot send to "${remote}": the connection is closed`,
  );
}

/** What a connection breaks with that cannot be flushed in time as it closes. */
export function closedLate(remote: Address): ConnectionError {
  return new ConnectionError(
    `Cannot close the connection to "${remote}" in order: the other end did not take what was queued`,
  );
}
