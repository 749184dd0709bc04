import type {
  TrustedReceive,
  TrustedSide,
  TrustedStep,
} from "./_trusted_handshake.ts";
import { acceptTrusted, dialTrusted } from "./_trusted_handshake.ts";
import { ProtocolError } from "./types.ts";

/** The two ends of a handshake under attack; each call of `self` and `random` is theirs. */
export interface Victims {
  /** The end that opens the connection. */
  readonly dialer: TrustedSide;
  /** The end that accepts it. */
  readonly acceptor: TrustedSide;
}

/** What came of an attack. */
export interface AttackReport {
  /** How many transcripts were tried. */
  readonly tried: number;
  /** How many of them by each way to attack. */
  readonly by: Readonly<Record<string, number>>;
  /** What was accepted, though it was not what the other end had sent. */
  readonly accepted: readonly string[];
  /** What was thrown, and is no `ProtocolError`. */
  readonly uncaught: readonly string[];
}

/** A handshake that went well: its messages, and the states that waited for each. */
interface Recording {
  readonly messages: readonly Uint8Array[];
  readonly states: readonly TrustedReceive[];
}

const NAMES = ["hello", "welcome", "proof", "finish"];
const HEADER = 4;
const AT_ONCE = 64;

/**
 * Attacks a handshake that proves both ends: gives each state a message that was
 * changed, cut short, taken from another handshake, sent back or out of turn.
 *
 * @param victims The ends, which must introduce themselves to each other.
 * @param attempts How many transcripts to try.
 * @param random 0 ≤ x < 1.
 */
export async function attackHandshake(
  victims: Victims,
  attempts: number,
  random: () => number,
): Promise<AttackReport> {
  const target = await record(victims);
  const other = await record(victims);
  const by: Record<string, number> = {};
  const accepted: string[] = [];
  const uncaught: string[] = [];
  const attackOnce = async (index: number): Promise<void> => {
    const { how, at, message } = draw(index, target, other, random);
    by[how] = (by[how] ?? 0) + 1;
    try {
      if (await isAccepted(target, at, message)) {
        accepted.push(`${how} ${NAMES[at]}`);
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) uncaught.push(String(error));
    }
  };
  for (let done = 0; done < attempts; done += AT_ONCE) {
    const some = Math.min(AT_ONCE, attempts - done);
    await Promise.all(
      Array.from({ length: some }, (_, index) => attackOnce(done + index)),
    );
  }
  return { tried: attempts, by, accepted, uncaught };
}

async function record({ dialer, acceptor }: Victims): Promise<Recording> {
  const helloAwaited = receiving(acceptTrusted(acceptor));
  const welcomeAwaited = receiving(await dialTrusted(dialer));
  const m1 = sent(welcomeAwaited);
  const proofAwaited = receiving(await helloAwaited.next(m1));
  const m2 = sent(proofAwaited);
  const finishAwaited = receiving(
    await admitted(await welcomeAwaited.next(m2)),
  );
  const m3 = sent(finishAwaited);
  const end = await admitted(await proofAwaited.next(m3));
  const m4 = sent(end);
  if (!isIntroduced(await finishAwaited.next(m4))) {
    throw new TypeError("The ends do not introduce themselves to each other");
  }
  return {
    messages: [m1, m2, m3, m4],
    states: [helloAwaited, welcomeAwaited, proofAwaited, finishAwaited],
  };
}

/** Whether an end comes to believe the other one by a message that this did not send. */
async function isAccepted(
  { states, messages }: Recording,
  at: number,
  message: Uint8Array,
): Promise<boolean> {
  const step = await states[at]?.next(message);
  if (step === undefined || isRefusal(step)) return false;
  if (at > 0) return true;
  // Nothing is proven by a hello alone: what does each end make of what follows?
  const answers = [
    states[1]?.next(sent(step)),
    receiving(step).next(messages[2] ?? null),
  ];
  const outcomes = await Promise.allSettled(answers);
  return outcomes.some((outcome) =>
    outcome.status === "fulfilled" && outcome.value !== undefined &&
    !isRefusal(outcome.value)
  );
}

function draw(
  index: number,
  target: Recording,
  other: Recording,
  random: () => number,
): { how: string; at: number; message: Uint8Array } {
  const at = index % 4;
  const genuine = target.messages[at] ?? new Uint8Array(0);
  const below = (limit: number): number => Math.floor(random() * limit);
  const pick = (from: Recording, which: number): Uint8Array =>
    from.messages[which] ?? genuine;
  switch ((index >> 2) % 8) {
    case 0:
      return {
        how: "truncated",
        at,
        message: genuine.slice(0, below(genuine.length)),
      };
    case 1:
      return replayed(at, pick(other, at), genuine);
    case 2:
      return {
        how: "re-ordered",
        at,
        message: pick(target, (at + 1 + below(3)) % 4),
      };
    case 3:
      return reflected(at, target, below(3));
    case 4: {
      // The head of one handshake, the tail of another.
      const cut = below(genuine.length);
      const tail = pick(other, at).subarray(cut);
      return replayed(
        at,
        new Uint8Array([...genuine.subarray(0, cut), ...tail]),
        genuine,
      );
    }
  }
  return { how: "mutated", at, message: mutated(genuine, below) };
}

/** A replay of a hello is told by what follows; one of the same bytes is none. */
function replayed(
  at: number,
  message: Uint8Array,
  genuine: Uint8Array,
): { how: string; at: number; message: Uint8Array } {
  return message.join() === genuine.join()
    ? { how: "truncated", at, message: genuine.slice(0, -1) }
    : { how: "replayed", at, message };
}

/** What an end has sent itself, as if the other one had: the head is that of its place. */
function reflected(
  at: number,
  { messages }: Recording,
  which: number,
): { how: string; at: number; message: Uint8Array } {
  const from = (at + 1 + which) % 4;
  const genuine = messages[at] ?? new Uint8Array(0);
  const other = messages[from] ?? genuine;
  const message = new Uint8Array([
    ...genuine.subarray(0, HEADER),
    ...other.subarray(HEADER),
  ]);
  return { how: "reflected", at, message };
}

function mutated(
  genuine: Uint8Array,
  below: (limit: number) => number,
): Uint8Array {
  const bytes = Array.from(genuine);
  for (let times = 1 + below(3); times > 0; times--) {
    const at = below(bytes.length);
    const kind = below(4);
    if (kind === 0) bytes.splice(at, 0, below(256));
    else if (kind === 1) bytes.splice(at, 1);
    else bytes[at] = (bytes[at] ?? 0) ^ (1 << below(8));
  }
  const message = new Uint8Array(bytes);
  if (message.join() !== genuine.join()) return message;
  message[message.length - 1] = (message.at(-1) ?? 0) ^ 1;
  return message;
}

function admitted(step: TrustedStep): Promise<TrustedStep> {
  if (step.type === "admit") return step.next(null);
  throw new TypeError(`The handshake does not ask here: ${step.type}`);
}

function receiving(step: TrustedStep): TrustedReceive {
  if (step.type === "receive") return step;
  throw new TypeError(`The handshake does not receive here: ${step.type}`);
}

function sent(step: TrustedStep): Uint8Array {
  if (step.type !== "admit" && step.send !== undefined) return step.send;
  throw new TypeError("The handshake sends nothing here");
}

function isRefusal(step: TrustedStep): boolean {
  return step.type === "end" && "refusal" in step.introduced;
}

function isIntroduced(step: TrustedStep): boolean {
  return step.type === "end" && "peer" in step.introduced;
}
