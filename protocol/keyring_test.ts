import {
  assert,
  assertEquals,
  assertNotEquals,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { isGoodKey, isSignature } from "./_crypto.ts";
import { createIdentity, parseIdentity, parseKey, sign } from "./identity.ts";
import { Keyring } from "./keyring.ts";
import {
  createSecret,
  parseSecret,
  secretFromPassphrase,
  secretText,
} from "./secret.ts";

// -- Secrets --

Deno.test("parseSecret() reads bytes and their text, and nothing else", () => {
  const secret = createSecret();
  assertEquals(parseSecret(secret), secret);
  assertEquals(parseSecret(`${secretText(secret)}\n`), secret);
  for (const bad of ["", "hunter2", "x".repeat(44), `${"x".repeat(42)}+`]) {
    assertThrows(
      () => parseSecret(bad),
      TypeError,
      "`deno task secret` prints",
    );
  }
  for (const length of [0, 16, 31, 33]) {
    assertThrows(
      () => parseSecret(new Uint8Array(length)),
      TypeError,
      "it must be 32 bytes",
    );
  }
});

Deno.test("secretFromPassphrase() gives each cluster its own secret, always the same", async () => {
  const words = "correct horse battery staple";
  const one = await secretFromPassphrase(words, "demo");
  assertEquals(one.length, 32);
  assertEquals(await secretFromPassphrase(words, "demo"), one);
  assertNotEquals(await secretFromPassphrase(words, "blue"), one);
  await assertRejects(() => secretFromPassphrase("short", "demo"), RangeError);
});

// -- Keyring --

Deno.test("Keyring installs, uses and removes, and tells of each change once", async () => {
  const [old, next] = [createSecret(), createSecret()];
  const ring = new Keyring(old);
  let changes = 0;
  using _watch = ring.onChange(() => changes++);
  const [{ id: oldId } = { id: "" }] = await ring.keys();
  const id = await ring.install(next);
  assertEquals(await ring.install(next), id);
  assertEquals(changes, 1);
  await assertRejects(() => ring.remove(oldId), RangeError, "it is in use");
  await ring.use(id);
  await ring.use(id);
  assertEquals(await ring.keys(), [
    { id, inUse: true },
    { id: oldId, inUse: false },
  ]);
  await ring.remove(oldId);
  await ring.remove(oldId);
  assertEquals([changes, await ring.keys()], [3, [{ id, inUse: true }]]);
  await assertRejects(() => ring.use(oldId), RangeError, "it is not installed");
  assertEquals((await ring.keys()).length, 1);
});

Deno.test("Keyring has whoever makes a change wait for those who are told of it", async () => {
  const ring = new Keyring(createSecret());
  const told = Promise.withResolvers<void>();
  const done = Promise.withResolvers<void>();
  using _watch = ring.onChange(() => {
    told.resolve();
    return done.promise;
  });
  let isInstalled = false;
  const installing = ring.install(createSecret()).then(() => {
    isInstalled = true;
  });
  await told.promise;
  assertEquals((await ring.keys()).length, 2);
  assertEquals(isInstalled, false);
  done.resolve();
  await installing;
});

Deno.test("Keyring holds at most eight secrets", async () => {
  const many = Array.from({ length: 8 }, createSecret);
  const ring = new Keyring(many);
  await assertRejects(
    () => ring.install(createSecret()),
    RangeError,
    "holds 8",
  );
  assertEquals((await ring.keys()).length, 8);
  assertThrows(() => new Keyring([...many, createSecret()]), RangeError);
  assertThrows(() => new Keyring([]), TypeError, "it needs a secret");
});

Deno.test("SecretKey.seal() is for those who hold the secret", async () => {
  const secret = createSecret();
  const [one] = await new Keyring(secret).secretKeys();
  const [same] = await new Keyring(secret).secretKeys();
  const [other] = await new Keyring(createSecret()).secretKeys();
  assert(one && same && other);
  const sealed = await one.seal("words");
  assertEquals(await same.open(sealed), "words");
  await assertRejects(() => other.open(sealed));
  const changed = `${sealed.slice(0, 20)}${sealed[20] === "A" ? "B" : "A"}`;
  await assertRejects(() => same.open(changed + sealed.slice(21)));
});

// -- Keys --

/** Encodings of points of small order, and of y that is not below 2^255 - 19 (RFC 7748). */
const BAD_KEYS = [
  "00".repeat(32),
  "01" + "00".repeat(31),
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "00".repeat(31) + "80",
  "01" + "00".repeat(30) + "80",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
];

Deno.test("isGoodKey() refuses small order and y >= p, which Web Crypto may accept", async () => {
  // The identity as a key, and R = the identity, S = 0 as a signature of anything.
  const forged = new Uint8Array(64);
  forged[0] = 1;
  for (const bad of BAD_KEYS) {
    const key = Uint8Array.from(
      bad.match(/../g) ?? [],
      (two) => parseInt(two, 16),
    );
    assertEquals(isGoodKey(key), false, bad);
    assertEquals(await isSignature(key, forged, Uint8Array.of(1)), false, bad);
    const text = secretText(key);
    assertThrows(() => parseKey(text), TypeError, "prove nothing");
  }
  for (let i = 0; i < 20; i++) {
    assert(isGoodKey((await createIdentity()).identity.key));
  }
});

Deno.test("isSignature() binds the purpose, the message and the key", async () => {
  const { identity } = await createIdentity();
  const { identity: other } = await createIdentity();
  const message = Uint8Array.of(1, 2, 3);
  const signed = Uint8Array.of(
    ...new TextEncoder().encode("for tests"),
    ...message,
  );
  const signature = await sign(identity, "for tests", message);
  assert(await isSignature(identity.key, signature, signed));
  assert(!await isSignature(other.key, signature, signed));
  assert(!await isSignature(identity.key, signature, message));
  assert(!await isSignature(identity.key, signature.subarray(1), signed));
});

Deno.test("parseIdentity() gives the same id for the same text", async () => {
  const { identity, text } = await createIdentity();
  assertEquals((await parseIdentity(text)).id, identity.id);
  assertEquals(identity.id.length, 32);
  await assertRejects(() => parseIdentity("nonsense"), TypeError);
});
