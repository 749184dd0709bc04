import {
  type Introduction,
  type Protocol,
  ProtocolError,
} from "@devts/protocol";
import {
  Belief,
  createIdentity,
  grant,
  type Identity,
  keyText,
  nodeIdOf,
  parseKey,
} from "@devts/protocol/identity";
import { Keyring } from "@devts/protocol/keyring";
import { createSecret, secretText } from "@devts/protocol/secret";
import { attackHandshake, type Victims } from "@devts/protocol/testing";
import {
  acceptTrusted,
  dialTrusted,
  type Trust,
  trusted,
  type TrustedSide,
} from "@devts/protocol/trusted";
import { seededRandom } from "@devts/routing/testing";
import type { Connection, Transport } from "@devts/transport";
import { secretCredentials } from "@devts/transport/certificates";
import { quic } from "@devts/transport/quic";
import { tcp } from "@devts/transport/tcp";
import type { Measurement, MeasureOptions, Row } from "../runner.ts";

const TRANSCRIPTS = 100_000;
const OVER_EACH = 1_000;
/** Handshakes over a transport at the same time. */
const AT_ONCE = 4;

/** Encodings of points of small order, and of y that is not below 2^255 - 19. */
const BAD_KEYS = [
  "00".repeat(32),
  "01" + "00".repeat(31),
  "ec" + "ff".repeat(30) + "7f",
  "00".repeat(31) + "80",
  "01" + "00".repeat(30) + "80",
  "ec" + "ff".repeat(31),
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
  "ed" + "ff".repeat(30) + "7f",
  "ee" + "ff".repeat(30) + "7f",
  "ff".repeat(31) + "7f",
  "ed" + "ff".repeat(31),
];

/** Attacks on the machine of the handshake, in each mode. */
export const handshakes: Row = {
  what:
    "mutated, replayed, reflected, truncated and re-ordered handshakes, the machine alone",
  target: `0 accepted of ${TRANSCRIPTS}`,
  async measure({ progress }): Promise<Measurement> {
    const modes = Object.entries(await victims());
    const by: Record<string, number> = {};
    const faults: string[] = [];
    let tried = 0;
    for (const [index, [mode, victim]] of modes.entries()) {
      progress(`${tried} of ${TRANSCRIPTS}, ${mode}`);
      const share = Math.ceil((TRANSCRIPTS - tried) / (modes.length - index));
      const report = await attackHandshake(victim, share, seededRandom(index));
      tried += report.tried;
      for (const [how, count] of Object.entries(report.by)) {
        by[how] = (by[how] ?? 0) + count;
      }
      faults.push(...report.accepted, ...report.uncaught);
    }
    const counts = Object.entries(by).map(([how, count]) => `${count} ${how}`);
    const figure =
      `${faults.length} of ${tried} accepted (${counts.join(", ")})` +
      (faults.length > 0 ? `; ${faults.slice(0, 5).join("; ")}` : "");
    return { figure, held: tried >= TRANSCRIPTS && faults.length === 0 };
  },
};

/** Attacks over real connections: one message of each handshake is changed on its way. */
export const handshakeOverTransports: readonly Row[] = [
  over("TCP", "tcp://127.0.0.1:0", (_) => tcp()),
  over(
    "TLS",
    "tcp://127.0.0.1:0",
    (options) => tcp().secure(secretCredentials(options)),
  ),
  over(
    "QUIC",
    "quic://127.0.0.1:0",
    (options) => quic().secure(secretCredentials(options)),
  ),
];

/** Keys for which there are signatures that fit every message. */
export const smallOrder: Row = {
  what: "Ed25519 keys of small order, and encodings that are not the only one",
  target: "none listed, none granted anything, none introduced",
  async measure(): Promise<Measurement> {
    const faults: string[] = [];
    const { identity: authority } = await createIdentity();
    for (const hex of BAD_KEYS) {
      const key = Uint8Array.from(
        hex.match(/../g) ?? [],
        (two) => parseInt(two, 16),
      );
      const term = { cluster: "demo", key, from: 0, until: 2 };
      const attempts: readonly [string, () => unknown][] = [
        ["listed", () => parseKey(secretText(key))],
        ["granted", () => grant(authority, term)],
        ["introduced", () => introduce(key)],
      ];
      for (const [what, attempt] of attempts) {
        try {
          await attempt();
          faults.push(`${hex} was ${what}`);
        } catch {
          // As it should be.
        }
      }
    }
    const figure = `${BAD_KEYS.length} keys, ${faults.length} accepted` +
      (faults.length > 0 ? `: ${faults.join("; ")}` : "");
    return { figure, held: faults.length === 0 };
  },
};

function introduction(id: string): Introduction {
  return {
    ...{ cluster: "demo", id, incarnation: 1, format: "msgpack" },
    ...{ addresses: [], meta: new Uint8Array(0), maxMessage: 65_536 },
  };
}

function side(id: string, trust: Partial<Trust>, carrier = "tls"): TrustedSide {
  return {
    self: () => introduction(id),
    random: (length) => crypto.getRandomValues(new Uint8Array(length)),
    carrier,
    trust: {
      keyring: null,
      identity: null,
      belief: null,
      now: () => 1,
      ...trust,
    },
  };
}

async function victims(): Promise<Readonly<Record<string, Victims>>> {
  const keyring = new Keyring(createSecret());
  const { identity: one } = await createIdentity();
  const { identity: two } = await createIdentity();
  const { identity: authority } = await createIdentity();
  const listed = new Belief({ keys: [keyText(one.key), keyText(two.key)] });
  const granting = new Belief({ authorities: [keyText(authority.key)] });
  const granted = async (identity: Identity): Promise<Identity> => {
    const term = { cluster: "demo", from: 0, until: 2 };
    return {
      ...identity,
      grant: await grant(authority, { ...term, key: identity.key }),
    };
  };
  const both = { belief: listed, keyring };
  return {
    "a secret": {
      dialer: side("a", { keyring }),
      acceptor: side("b", { keyring }),
    },
    "listed keys": {
      dialer: side(one.id, { identity: one, belief: listed }),
      acceptor: side(two.id, { identity: two, belief: listed }),
    },
    "granted keys": {
      dialer: side(one.id, { identity: await granted(one), belief: granting }),
      acceptor: side(two.id, {
        identity: await granted(two),
        belief: granting,
      }),
    },
    "a secret and keys": {
      dialer: side(one.id, { identity: one, ...both }),
      acceptor: side(two.id, { identity: two, ...both }),
    },
  };
}

/** Has a key of small order introduce itself, by a signature that would fit everything. */
async function introduce(key: Uint8Array): Promise<void> {
  const { identity } = await createIdentity();
  const belief = new Belief({ authorities: [keyText(identity.key)] });
  const id = await nodeIdOf(key);
  const bad: Identity = { ...identity, id, key };
  const dialer = await dialTrusted(side(id, { identity: bad, belief }));
  const acceptor = acceptTrusted(side(identity.id, { identity, belief }));
  if (dialer.type !== "receive" || acceptor.type !== "receive") return;
  await acceptor.next(dialer.send ?? null);
}

/** How one message of a handshake is changed, and which. */
interface Attack {
  readonly at: number;
  change(message: Uint8Array): Uint8Array;
}

function over(
  name: string,
  address: string,
  make: (options: Parameters<typeof secretCredentials>[0]) => Transport,
): Row {
  return {
    what: `handshakes changed on their way, over ${name}`,
    target: `0 accepted of ${OVER_EACH}`,
    measure: (options) => attackOver(address, make, options),
  };
}

async function attackOver(
  address: string,
  make: (options: Parameters<typeof secretCredentials>[0]) => Transport,
  { progress }: MeasureOptions,
): Promise<Measurement> {
  const secret = createSecret();
  const secrets = () => Promise.resolve([secret]);
  const of = (id: string) => make({ id, cluster: "demo", secrets });
  const ends = { dialer: of("dialer"), acceptor: of("acceptor") };
  const protocol = trusted({ keyring: new Keyring(secret), now: () => 1 });
  const random = seededRandom(5);
  let tried = 0;
  let accepted = 0;
  let honest = 0;
  const attackers = Array.from({ length: AT_ONCE }, async () => {
    await using listener = await ends.acceptor.listen(address);
    const incoming = listener[Symbol.asyncIterator]();
    const attempt = async (attack: Attack | null): Promise<Outcome> => {
      const messages: Uint8Array[] = [];
      const [dialer, acceptor] = await Promise.all([
        ends.dialer.connect(listener.address).then((connection) =>
          meet(protocol, connection, "dialer", attack, messages)
        ),
        incoming.next().then(({ value }) =>
          meet(protocol, value, "acceptor", null, [])
        ),
      ]);
      return { dialer, acceptor, messages };
    };
    const old = await attempt(null);
    while (tried < OVER_EACH) {
      tried++;
      if (tried % 250 === 0) progress(`${tried} of ${OVER_EACH}`);
      const attack = draw(random, old.messages);
      const { dialer, acceptor } = await attempt(attack);
      // The acceptor has heard nothing wrong where only its last message was changed.
      if (dialer || acceptor && attack.at < 3) accepted++;
    }
    const last = await attempt(null);
    for (const { dialer, acceptor } of [old, last]) {
      if (dialer && acceptor) honest++;
    }
  });
  await Promise.all(attackers);
  return {
    figure: `${accepted} of ${tried} accepted; ${honest} of ${
      2 * AT_ONCE
    } that nobody changed`,
    held: accepted === 0 && honest === 2 * AT_ONCE && tried >= OVER_EACH,
  };
}

/** Whether each end came to believe the other, and all messages, in order. */
interface Outcome {
  readonly dialer: boolean;
  readonly acceptor: boolean;
  readonly messages: readonly Uint8Array[];
}

/** Draws an attack: a bit or a byte, a cut, an old message, one of another place. */
function draw(random: () => number, old: readonly Uint8Array[]): Attack {
  const below = (limit: number): number => Math.floor(random() * limit);
  const at = below(4);
  const kind = below(8);
  const other = below(3) + 1;
  const place = random();
  const bit = below(8);
  return {
    at,
    change(message) {
      const changed = message.slice();
      const index = Math.floor(place * message.length);
      if (kind === 0) return message.slice(0, index);
      if (kind === 1) return old[at] ?? new Uint8Array(0);
      if (kind === 2) {
        const wrong = (old[(at + other) % 4] ?? new Uint8Array(4)).slice();
        wrong.set(message.subarray(0, 4)); // reflected under the head that belongs here
        return wrong;
      }
      if (kind === 3) return old[(at + other) % 4] ?? new Uint8Array(0);
      changed[index] = (changed[index] ?? 0) ^ 1 << bit;
      return changed;
    },
  };
}

/** Introduces one end; whether it came to believe the other. */
async function meet(
  protocol: Protocol,
  connection: Connection,
  role: "dialer" | "acceptor",
  attack: Attack | null,
  messages: Uint8Array[],
): Promise<boolean> {
  const pass = (message: Uint8Array): Uint8Array => {
    const at = messages.push(message.slice()) - 1;
    return attack?.at === at ? attack.change(message) : message;
  };
  try {
    const introduced = await protocol.introduce({
      send: (message) => connection.send(pass(message)),
      receive: async (options) => {
        const message = await connection.receive(options);
        return message && pass(message);
      },
    }, {
      role,
      self: () => introduction(role),
      admit: () => null,
      carrier: connection.carrier ?? "",
    });
    return "peer" in introduced;
  } catch (error) {
    if (error instanceof ProtocolError) return false;
    throw error;
  } finally {
    await connection.close();
  }
}
