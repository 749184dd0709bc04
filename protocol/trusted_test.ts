import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertRejects,
} from "@std/assert";
import { attackHandshake } from "./_attack.ts";
import { concat, introduction, seeded } from "./_fixtures_test.ts";
import { MESSAGE_LIMIT } from "./_messages.ts";
import { Belief, createIdentity, grant, keyText } from "./identity.ts";
import { Keyring } from "./keyring.ts";
import { createSecret } from "./secret.ts";
import { writeRefusal } from "./_refusal.ts";
import {
  acceptTrusted,
  dialTrusted,
  trusted,
  type TrustedOptions,
  type TrustedSide,
} from "./trusted.ts";
import {
  AuthenticationError,
  type Channel,
  type Introduced,
  type IntroduceOptions,
  type Introduction,
  type Protocol,
  ProtocolError,
} from "./types.ts";
import { v1 } from "./v1.ts";

const NOW = Date.UTC(2030, 0, 1);
const YEAR = 365 * 86_400_000;
const now = (): number => NOW;
const RIGHTS = { emit: ["chat.*"], handle: ["chat.said"] };

/** One end: its protocol, and what it says of itself. */
interface End {
  readonly protocol: Protocol;
  readonly self?: Partial<Introduction>;
  readonly options?: Partial<IntroduceOptions>;
}

/** How the handshake of each end went: what it was introduced to, or what it threw. */
interface Met {
  readonly dialer: Introduced | Error;
  readonly acceptor: Introduced | Error;
  /** The types of all messages, in order. */
  readonly types: readonly number[];
}

function pair(types: number[]): [Channel, Channel] {
  const there = new TransformStream<Uint8Array, Uint8Array>();
  const back = new TransformStream<Uint8Array, Uint8Array>();
  const channel = (
    to: TransformStream<Uint8Array, Uint8Array>,
    from: TransformStream<Uint8Array, Uint8Array>,
  ): Channel & { close(): void } => {
    const writer = to.writable.getWriter();
    const reader = from.readable.getReader();
    return {
      send(message) {
        types.push(message[0] ?? -1);
        assert(message.length <= MESSAGE_LIMIT);
        return writer.write(message);
      },
      receive: async () => (await reader.read()).value ?? null,
      close: () => void writer.close().catch(() => {}),
    };
  };
  return [channel(there, back), channel(back, there)];
}

async function meet(dialer: End, acceptor: End): Promise<Met> {
  const types: number[] = [];
  const [near, far] = pair(types);
  const run = async (
    channel: Channel,
    role: "dialer" | "acceptor",
    { protocol, self, options }: End,
  ): Promise<Introduced | Error> => {
    try {
      return await protocol.introduce(channel, {
        role,
        self: () => introduction({ id: role[0] ?? "", ...self }),
        admit: () => null,
        carrier: "tls",
        ...options,
      });
    } catch (error) {
      assertInstanceOf(error, ProtocolError);
      return error;
    } finally {
      (channel as Channel & { close(): void }).close();
    }
  };
  const [one, two] = await Promise.all([
    run(near, "dialer", dialer),
    run(far, "acceptor", acceptor),
  ]);
  return { dialer: one, acceptor: two, types };
}

function holding(secret: Uint8Array, more: Partial<TrustedOptions> = {}): End {
  return { protocol: trusted({ keyring: new Keyring(secret), now, ...more }) };
}

async function owner(
  believed: (key: string) => ConstructorParameters<typeof Belief>[0],
  more: Partial<TrustedOptions> = {},
) {
  const { identity } = await createIdentity();
  const belief = new Belief(believed(keyText(identity.key)));
  return {
    identity,
    end: {
      protocol: trusted({ identity, belief, now, ...more }),
      self: { id: identity.id },
    },
  };
}

function proven(of: Introduced | Error) {
  if (of instanceof Error) throw of;
  assert("peer" in of, "refused");
  return of.proven;
}

function refusedBecause({ dialer, acceptor, types }: Met): [string, string] {
  assertInstanceOf(dialer, ProtocolError);
  assertInstanceOf(acceptor, ProtocolError);
  assert(!types.includes(0x05), "a stranger was told why");
  return [dialer.message, acceptor.message];
}

Deno.test("trusted() introduces two that know the same secret", async () => {
  const secret = createSecret();
  const met = await meet(holding(secret), holding(secret));
  const [{ id: keyId } = { id: "" }] = await new Keyring(secret).keys();
  assertEquals(proven(met.dialer), { keyId });
  assertEquals(proven(met.acceptor), { keyId });
  assertEquals(met.types, [1, 2, 3, 4]);
});

Deno.test("trusted() refuses who knows another secret, and tells nothing", async () => {
  const met = await meet(holding(createSecret()), holding(createSecret()));
  const [dialer, acceptor] = refusedBecause(met);
  assertMatch(dialer, /the acceptor said nothing and closed/);
  assertEquals(
    acceptor,
    "the dialer knows no secret of this node's cluster: it has none, or another one",
  );
  assertEquals(met.types, [1]);
});

Deno.test("trusted() and v1() refuse each other, and tell nothing", async () => {
  const plain = { protocol: v1() };
  const [plainSaid, acceptor] = refusedBecause(
    await meet(plain, holding(createSecret())),
  );
  assertMatch(
    plainSaid,
    /expected a welcome or a refusal, but the connection ended/,
  );
  assertMatch(acceptor, /the dialer knows no secret of this node's cluster/);
  const [, plainAccepts] = refusedBecause(
    await meet(holding(createSecret()), plain),
  );
  assertMatch(plainAccepts, /it offers keys that this node cannot check/);
});

Deno.test("trusted() binds the cluster and the carrier", async () => {
  const secret = createSecret();
  const carriers = refusedBecause(
    await meet(holding(secret), {
      ...holding(secret),
      options: { carrier: "tcp" },
    }),
  );
  assertEquals(carriers[0], "the acceptor has not proven to hold the secret");
  // Who knows the secret is told which cluster it met.
  const met = await meet(holding(secret), {
    ...holding(secret),
    self: { cluster: "blue" },
  });
  assert(!(met.dialer instanceof Error) && "refusal" in met.dialer);
  assertEquals(met.dialer.refusal.code, "cluster");
});

Deno.test("trusted() lets members through while a keyring is rotated", async () => {
  const old = createSecret();
  const next = createSecret();
  const rings = [[old], [old, next], [next, old], [next]];
  for (const [i, one] of rings.entries()) {
    for (const [j, two] of rings.entries()) {
      const met = await meet(
        { protocol: trusted({ keyring: new Keyring(one), now }) },
        { protocol: trusted({ keyring: new Keyring(two), now }) },
      );
      const linked = !(met.dialer instanceof Error);
      assertEquals(!(met.acceptor instanceof Error), linked);
      // A ring is at most one step of a rotation ahead of another one.
      if (Math.abs(i - j) < 2) assert(linked, `${i} dials ${j}`);
      if (Math.abs(i - j) === 3) assert(!linked, `${i} dials ${j}`);
    }
  }
});

Deno.test("trusted() introduces owners of keys on an allow-list", async () => {
  const { identity: one } = await createIdentity();
  const { identity: two } = await createIdentity();
  const belief = new Belief({ keys: [keyText(one.key), keyText(two.key)] });
  const met = await meet(
    { protocol: trusted({ identity: one, belief, now }), self: { id: one.id } },
    { protocol: trusted({ identity: two, belief, now }), self: { id: two.id } },
  );
  assertEquals(proven(met.dialer), { key: two.key });
  assertEquals(proven(met.acceptor), { key: one.key });
});

Deno.test("trusted() refuses a key that nobody vouches for", async () => {
  const { identity: stranger } = await createIdentity();
  const member = await owner((key) => ({ keys: [key] }));
  const own = keyText(stranger.key);
  const belief = new Belief({ keys: [own, keyText(member.identity.key)] });
  const met = await meet({
    protocol: trusted({ identity: stranger, belief, now }),
    self: { id: stranger.id },
  }, member.end);
  const [, acceptor] = refusedBecause(met);
  assertMatch(acceptor, new RegExp(`nobody vouches for its key ${own}`));
});

Deno.test("trusted() refuses an id that is not that of the key", async () => {
  const member = await owner((key) => ({ keys: [key] }));
  const [, acceptor] = refusedBecause(
    await meet({ ...member.end, self: { id: "someone-else" } }, member.end),
  );
  assertMatch(acceptor, /its id is not that of its key/);
});

Deno.test("trusted() believes what an authority grants, while it holds", async () => {
  const { identity: authority } = await createIdentity();
  const { identity: other } = await createIdentity();
  const authorities = [keyText(authority.key)];
  const member = async (
    by: typeof authority,
    from: number,
    until: number,
    cluster = "demo",
    revoked: readonly string[] = [],
  ): Promise<End & { id: string }> => {
    const { identity } = await createIdentity();
    const granted = await grant(by, {
      cluster,
      key: identity.key,
      from,
      until,
    });
    return {
      id: identity.id,
      self: { id: identity.id },
      protocol: trusted({
        identity: { ...identity, grant: granted },
        belief: new Belief({ authorities, revoked }),
        now,
      }),
    };
  };
  const good = await member(authority, NOW, NOW + YEAR);
  const met = await meet(await member(authority, NOW - 1, NOW + 1), good);
  assert(proven(met.acceptor)?.key !== undefined);
  const table = [
    [
      await member(other, NOW, NOW + YEAR),
      /by no authority that this node believes/,
    ],
    [
      await member(authority, NOW - 1, NOW),
      /has expired, or does not hold yet/,
    ],
    [
      await member(authority, NOW + 1, NOW + 2),
      /has expired, or does not hold yet/,
    ],
    [
      await member(authority, NOW, NOW + 1, "blue"),
      /its grant is for cluster "blue"/,
    ],
  ] as const;
  for (const [dialer, why] of table) {
    assertMatch(refusedBecause(await meet(dialer, good))[1], why);
  }
  const strict = await member(authority, NOW, NOW + YEAR, "demo", [good.id]);
  assertMatch(refusedBecause(await meet(good, strict))[1], /is revoked/);
});

Deno.test("trusted() refuses a grant that was changed or belongs to another key", async () => {
  const { identity: authority } = await createIdentity();
  const { identity } = await createIdentity();
  const { identity: thief } = await createIdentity();
  const term = { cluster: "demo", from: NOW, until: NOW + YEAR };
  const granted = await grant(authority, { ...term, key: identity.key });
  const belief = new Belief({ authorities: [keyText(authority.key)] });
  const stolen = await belief.judge({
    ...{ key: thief.key, grant: granted, cluster: "demo", now: NOW },
  });
  assertEquals(stolen, { fault: "its grant is for another key" });
  for (let bit = 0; bit < 8 * granted.length; bit += 7) {
    const changed = granted.slice();
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ 1 << (bit & 7);
    const verdict = await belief.judge({
      ...{ key: identity.key, grant: changed, cluster: "demo", now: NOW },
    });
    assert("fault" in verdict, `bit ${bit}`);
  }
});

Deno.test("trusted() wants both the secret and the key where a node has both", async () => {
  const secret = createSecret();
  const { identity: one } = await createIdentity();
  const { identity: two } = await createIdentity();
  const belief = new Belief({ keys: [keyText(one.key), keyText(two.key)] });
  const end = (
    identity: typeof one,
    keyring: Keyring | undefined,
  ): End => ({
    protocol: trusted({ identity, belief, now, ...(keyring && { keyring }) }),
    self: { id: identity.id },
  });
  const both = end(two, new Keyring(secret));
  const met = await meet(end(one, new Keyring(secret)), both);
  assertEquals(proven(met.acceptor)?.key, one.key);
  const [, noSecret] = refusedBecause(await meet(end(one, undefined), both));
  assertMatch(noSecret, /it does not know the secret/);
  const [, noKey] = refusedBecause(await meet(holding(secret), both));
  assertMatch(noKey, /it has no key of its own/);
});

Deno.test("trusted() admits a guest by its key, and tells its rights", async () => {
  const { identity: guest } = await createIdentity();
  const member = holding(createSecret(), {
    belief: new Belief({ keys: [{ key: keyText(guest.key), rights: RIGHTS }] }),
  });
  const visitor = {
    protocol: trusted({ identity: guest, now }),
    self: { id: guest.id },
  };
  const met = await meet(visitor, member);
  assertEquals(proven(met.acceptor), { key: guest.key, rights: RIGHTS });
  assertEquals(proven(met.dialer), {});
  // It believes nobody who dials it.
  assertMatch(
    refusedBecause(await meet(visitor, visitor))[1],
    /believes no keys/,
  );
});

Deno.test("trusted() hands what was proven to admit", async () => {
  const secret = createSecret();
  const asked: unknown[] = [];
  const options = {
    admit: (_: Introduction, proven?: unknown) => {
      asked.push(proven);
      return { code: "busy", detail: "no place" } as const;
    },
  };
  const met = await meet(holding(secret), { ...holding(secret), options });
  const [key] = await new Keyring(secret).keys();
  assertEquals(asked, [{ keyId: key?.id }]);
  assert(!(met.dialer instanceof Error) && "refusal" in met.dialer);
  assertEquals(met.dialer.by, "them");
});

Deno.test("trusted() tells a node that it has dialled itself", async () => {
  const member = await owner((key) => ({ keys: [key] }));
  const met = await meet(member.end, member.end);
  assert(!(met.dialer instanceof Error) && "refusal" in met.dialer);
  assertEquals(met.dialer.refusal.code, "self");
});

Deno.test("trusted() does not take an incarnation from a stranger that refuses", async () => {
  const refusal = {
    code: "stale",
    detail: "old",
    incarnation: 2 ** 52,
  } as const;
  const table: [TrustedSide, TrustedSide, boolean][] = [];
  for (const [index, { dialer, acceptor }] of (await victims()).entries()) {
    table.push([dialer, acceptor, index !== 1]); // without a secret, no hello shows it
  }
  for (const [dialer, acceptor, shows] of table) {
    const helloAwaited = acceptTrusted(acceptor);
    const welcomeAwaited = await dialTrusted(dialer);
    assert(
      helloAwaited.type === "receive" && welcomeAwaited.type === "receive",
    );
    const proofAwaited = await helloAwaited.next(welcomeAwaited.send ?? null);
    assert(proofAwaited.type === "receive");
    const ends = [
      await welcomeAwaited.next(writeRefusal(refusal)),
      await proofAwaited.next(writeRefusal(refusal)),
    ].map((step) => step.type === "end" && step.introduced);
    const bare = { code: "stale", detail: "old" } as const;
    assertEquals(ends, [
      { refusal: bare, by: "them" },
      { refusal: shows ? refusal : bare, by: "them" },
    ]);
  }
});

/** Victims of each mode. */
async function victims() {
  const keyring = new Keyring(createSecret());
  const { identity: one } = await createIdentity();
  const { identity: two } = await createIdentity();
  const belief = new Belief({ keys: [keyText(one.key), keyText(two.key)] });
  const side = (
    id: string,
    trust: Partial<TrustedSide["trust"]>,
  ): TrustedSide => ({
    self: () => introduction({ id }),
    random: (length) => crypto.getRandomValues(new Uint8Array(length)),
    carrier: "tls",
    trust: { keyring: null, identity: null, belief: null, now, ...trust },
  });
  return [
    { dialer: side("a", { keyring }), acceptor: side("b", { keyring }) },
    {
      dialer: side(one.id, { identity: one, belief }),
      acceptor: side(two.id, { identity: two, belief }),
    },
    {
      dialer: side(one.id, { identity: one, belief, keyring }),
      acceptor: side(two.id, { identity: two, belief, keyring }),
    },
  ];
}

Deno.test("trusted() accepts none of 1,200 attacks in each mode", async () => {
  for (const victim of await victims()) {
    const report = await attackHandshake(victim, 1_200, seeded(7));
    assertEquals(report.accepted, []);
    assertEquals(report.uncaught, []);
    assertEquals(Object.keys(report.by).sort(), [
      ...["mutated", "re-ordered", "reflected", "replayed", "truncated"],
    ]);
  }
});

Deno.test("attackHandshake() tells what is accepted", async () => {
  const [victim] = await victims();
  assert(victim !== undefined);
  // An acceptor that believes everyone.
  const acceptor = { ...victim.acceptor, trust: { ...victim.acceptor.trust } };
  Object.assign(acceptor.trust, {
    keyring: {
      secretKeys: async () =>
        (await victim.acceptor.trust.keyring?.secretKeys() ?? []).map((
          key,
        ) => ({
          id: key.id,
          name: key.name,
          isFirst: () => Promise.resolve(true),
          isProof: () => Promise.resolve(true),
          prove: (role: string, th: Uint8Array) => key.prove(role, th),
        })),
    },
  });
  const { accepted } = await attackHandshake(
    { dialer: victim.dialer, acceptor },
    200,
    seeded(8),
  );
  assert(accepted.length > 0);
});

Deno.test("trusted() bears random messages", async () => {
  const random = seeded(9);
  const [victim] = await victims();
  assert(victim !== undefined);
  const { protocol } = holding(createSecret());
  for (let i = 0; i < 500; i++) {
    const noise = Uint8Array.from(
      { length: Math.floor(random() * 200) },
      () => Math.floor(random() * 256),
    );
    const channel: Channel = {
      send: () => Promise.resolve(),
      receive: () => Promise.resolve(concat([1, 0, 0, 0], noise)),
    };
    await assertRejects(
      () =>
        protocol.introduce(channel, {
          role: "acceptor",
          self: () => introduction(),
          admit: () => null,
        }),
      AuthenticationError,
    );
  }
});
