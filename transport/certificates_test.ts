import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  keyCredentials,
  nodeCertificate,
  secretCredentials,
} from "./certificates.ts";
import { type Credentials, serverName } from "./credentials.ts";
import { tcp } from "./tcp.ts";
import { ConnectionError } from "./types.ts";

const DAY = 86_400_000;

function secretOf(byte: number): Uint8Array {
  return new Uint8Array(32).fill(byte);
}

function bySecret(
  id: string,
  bytes: readonly number[] = [1],
  cluster = "demo",
): Credentials {
  const secrets = bytes.map(secretOf);
  return secretCredentials({
    ...{ id, cluster, secrets: () => Promise.resolve(secrets) },
  });
}

/** Whether a dialler gets through to an acceptor, and hears a word of it. */
async function reaches(
  dialer: Credentials,
  acceptor: Credentials,
  expect?: string,
): Promise<boolean> {
  await using listener = await tcp().secure(acceptor).listen(
    "tcp://127.0.0.1:0",
  );
  const accepted = Promise.withResolvers<void>();
  const serving = (async () => {
    for await (const connection of listener) {
      await connection.send(Uint8Array.of(7)).catch(() => {});
      await connection.close();
      accepted.resolve();
    }
  })();
  try {
    const options = expect === undefined ? {} : { expect };
    await using dialled = await tcp().secure(dialer).connect(
      listener.address,
      options,
    );
    assertEquals(await dialled.receive(), Uint8Array.of(7));
    return true;
  } catch (error) {
    assert(error instanceof ConnectionError, String(error));
    return false;
  } finally {
    await accepted.promise;
    await listener.close();
    await serving;
  }
}

// -- secretCredentials() --

Deno.test("secretCredentials() encrypt between those who know the secret, of one cluster", async () => {
  assert(await reaches(bySecret("one"), bySecret("two")));
  assert(await reaches(bySecret("one"), bySecret("two"), "two"));
  assert(!await reaches(bySecret("one"), bySecret("two"), "three"));
  assert(!await reaches(bySecret("one"), bySecret("two", [2])));
  assert(!await reaches(bySecret("one"), bySecret("two", [1], "blue")));
});

Deno.test("secretCredentials() believe all secrets of a ring", async () => {
  assert(await reaches(bySecret("one", [1, 2]), bySecret("two", [2, 1])));
  assert(await reaches(bySecret("one", [2]), bySecret("two", [2, 1])));
  assert(!await reaches(bySecret("one", [1]), bySecret("two", [2, 1])));
});

Deno.test("secretCredentials() make a certificate again before it expires", async () => {
  let made = 0;
  const secrets = () => {
    made++;
    return Promise.resolve([secretOf(1)]);
  };
  const options = { id: "one", cluster: "demo", secrets };
  const lasting = secretCredentials(options);
  await lasting.current();
  await lasting.current();
  assertEquals(made, 1);
  const short = secretCredentials({ ...options, lifetime: 30 });
  const renewed = Promise.withResolvers<void>();
  const before = await short.current();
  using _watch = short.onChange(() => renewed.resolve());
  await renewed.promise;
  assert((await short.current()).cert !== before.cert);
});

Deno.test("secretCredentials() keep the certificate of a node while the secret in use stays", async () => {
  let ring = [secretOf(1)];
  let changed: () => unknown = () => {};
  const live = secretCredentials({
    id: "one",
    cluster: "demo",
    secrets: () => Promise.resolve(ring),
    onChange: (callback) => {
      changed = callback;
      return { [Symbol.dispose]() {} };
    },
  });
  const shown: string[] = [];
  const believed: number[] = [];
  for (const numbers of [[1], [1, 2], [2, 1], [2]]) {
    ring = numbers.map(secretOf);
    changed();
    const { cert, caCerts } = await live.current();
    shown.push(cert);
    believed.push(caCerts.length);
  }
  assertEquals(believed, [1, 2, 2, 1]);
  assertEquals(shown.map((cert) => shown.indexOf(cert)), [0, 0, 2, 2]);
});

Deno.test("secretCredentials() refuse a certificate that has expired", async () => {
  const options = {
    cluster: "demo",
    secrets: () => Promise.resolve([secretOf(1)]),
  };
  const expired = secretCredentials({
    ...options,
    id: "two",
    lifetime: -1_000,
  });
  // Nobody renews it.
  const kept = await expired.current();
  const forgotten: Credentials = {
    current: () => Promise.resolve(kept),
    serverName,
    onChange: () => ({ [Symbol.dispose]() {} }),
  };
  assert(!await reaches(bySecret("one"), forgotten));
});

// -- keyCredentials() --

async function keysOf(): Promise<{ keys: CryptoKeyPair; key: Uint8Array }> {
  const keys = await crypto.subtle.generateKey("Ed25519", true, [
    "sign",
    "verify",
  ]);
  assert("privateKey" in keys);
  const raw = await crypto.subtle.exportKey("raw", keys.publicKey);
  return { keys, key: new Uint8Array(raw) };
}

Deno.test("keyCredentials() believe listed keys, each for its own node alone", async () => {
  const [one, two] = [await keysOf(), await keysOf()];
  const believed = [{ id: "one", key: one.key }, { id: "two", key: two.key }];
  const node = (id: string, keys: CryptoKeyPair) =>
    keyCredentials({ id, keys, believed, authorities: [] });
  assert(await reaches(node("one", one.keys), node("two", two.keys)));
  assert(await reaches(node("one", one.keys), node("two", two.keys), "two"));
  // A node whose key is listed, and that calls itself by another's name.
  const thief = node("one", two.keys);
  assert(!await reaches(node("two", two.keys), thief, "one"));
  const stranger = keyCredentials({
    ...{ id: "two", keys: (await keysOf()).keys, believed, authorities: [] },
  });
  assert(!await reaches(node("one", one.keys), stranger));
});

Deno.test("keyCredentials() believe what an authority signed, for its own node alone", async () => {
  const authority = await keysOf();
  const now = Date.now();
  const node = async (
    id: string,
    { by = authority, as = id, until = now + DAY } = {},
  ) => {
    const { keys, key } = await keysOf();
    const certificate = await nodeCertificate({
      ...{ id, key, authority: by.keys, authorityKey: by.key },
      ...{ from: now - DAY, until },
    });
    return keyCredentials({
      ...{
        id: as,
        keys,
        certificate,
        believed: [],
        authorities: [authority.key],
      },
    });
  };
  const one = await node("one");
  assert(await reaches(one, await node("two"), "two"));
  assert(await reaches(one, await node("two")));
  assert(!await reaches(one, await node("two", { as: "three" }), "three"));
  assert(!await reaches(one, await node("two", { by: await keysOf() }), "two"));
  assert(!await reaches(one, await node("two", { until: now - 2_000 }), "two"));
});

// -- serverName() --

Deno.test("serverName() gives every id its own name, of labels that names may have", () => {
  const ids = [
    "a",
    "any",
    "store-1",
    "A",
    "a.b",
    "~".repeat(64),
    "id",
    "61",
    "x_y",
  ];
  const names = [undefined, ...ids].map((id) => serverName(id));
  assertEquals(new Set(names).size, names.length);
  for (const name of names) {
    assert(
      name.length <= 253 && /^(?:[a-z0-9-]{1,63}\.)+internal$/.test(name),
      name,
    );
  }
});

Deno.test("secured TCP refuses an end that speaks plain text, on both sides", async () => {
  await using listener = await tcp().secure(bySecret("one")).listen(
    "tcp://127.0.0.1:0",
  );
  const serving = (async () => {
    for await (const connection of listener) {
      await assertRejects(() => connection.receive(), ConnectionError);
      await connection.close();
      break;
    }
  })();
  const dialled = await tcp().connect(listener.address);
  await dialled.send(Uint8Array.of(1, 2, 3)).catch(() => {});
  await dialled.receive().catch(() => {});
  await dialled.close();
  await serving;
});
