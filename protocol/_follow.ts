import type { Step } from "./_handshake.ts";
import { MESSAGE_LIMIT } from "./_messages.ts";
import type { TrustedStep } from "./_trusted_handshake.ts";
import {
  type Channel,
  type Introduced,
  type IntroduceOptions,
  ProtocolError,
} from "./types.ts";

/** Goes through a handshake, whose steps do no I/O, over a channel. */
export async function follow(
  first: Step | TrustedStep,
  channel: Channel,
  { admit }: Pick<IntroduceOptions, "admit">,
): Promise<Introduced> {
  let step = first;
  while (step.type !== "end") {
    step = step.type === "admit"
      ? await step.next(
        await admit(step.peer, "proven" in step ? step.proven : undefined),
      )
      : await step.next(await exchange(channel, step.send));
  }
  await conclude(channel, step);
  return step.introduced;
}

/** Random bytes that nobody can guess. */
export function random(length: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(length));
}

/** Sends a message, if there is one, and receives the answer. */
async function exchange(
  channel: Channel,
  message: Uint8Array | undefined,
): Promise<Uint8Array | null> {
  try {
    if (message !== undefined) await channel.send(message);
    return await channel.receive({ limit: MESSAGE_LIMIT });
  } catch (cause) {
    throw broken(cause);
  }
}

/** Sends the last message of this side, if there is one. */
async function conclude(
  channel: Channel,
  end: { readonly send?: Uint8Array; readonly introduced: Introduced },
): Promise<void> {
  if (end.send === undefined) return;
  try {
    await channel.send(end.send);
  } catch (cause) {
    // A refusal stands, whether or not the other side hears of it.
    if ("peer" in end.introduced) throw broken(cause);
  }
}

function broken(cause: unknown): ProtocolError {
  return new ProtocolError(
    "Cannot finish the handshake: the connection broke",
    { cause },
  );
}
