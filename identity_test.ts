import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { keyText } from "@devts/protocol/identity";
import { createSecret, secretText } from "@devts/protocol/secret";
import {
  createIdentityFile,
  readIdentityFile,
  readSecretFile,
  signIdentity,
} from "./identity.ts";
import { createNode, JoinError, type NodeOptions } from "./mod.ts";

const DAY = 86_400_000;
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

async function inFolder(
  work: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("createIdentityFile() makes a file for its owner alone, once", () =>
  inFolder(async (folder) => {
    const path = `${folder}/node.json`;
    const made = await createIdentityFile(path);
    const { mode } = await Deno.stat(path);
    if (mode !== null) assertEquals(mode & 0o777, 0o600);
    assertEquals((await readIdentityFile(path)).id, made.id);
    await assertRejects(
      () => createIdentityFile(path),
      Deno.errors.AlreadyExists,
    );
    await Deno.chmod(path, 0o644);
    await assertRejects(
      () => readIdentityFile(path),
      TypeError,
      "others can read it",
    );
  }));

Deno.test("readSecretFile() reads what was printed, from a file for its owner alone", () =>
  inFolder(async (folder) => {
    const path = `${folder}/secret`;
    const text = secretText(createSecret());
    await Deno.writeTextFile(path, `${text}\n`, { mode: 0o600 });
    assertEquals(await readSecretFile(path), text);
    await Deno.writeTextFile(path, "hunter2\n");
    await assertRejects(() => readSecretFile(path), TypeError, "43 characters");
    await Deno.chmod(path, 0o640);
    await assertRejects(
      () => readSecretFile(path),
      TypeError,
      "others can read it",
    );
  }));

Deno.test("nodes whose keys an authority signed join each other; one that is revoked does not", () =>
  inFolder(async (folder) => {
    const authority = await createIdentityFile(`${folder}/authority.json`);
    const signed = async (name: string): Promise<Partial<NodeOptions>> => {
      const path = `${folder}/${name}.json`;
      const { key } = await createIdentityFile(path);
      const text = await signIdentity(authority, {
        ...{
          cluster: "demo",
          key,
          from: Date.now() - DAY,
          until: Date.now() + DAY,
        },
      });
      await Deno.writeTextFile(`${path}.grant`, text);
      return { identity: await readIdentityFile(path, `${path}.grant`) };
    };
    const trust = { authorities: [keyText(authority.key)] };
    const options = { cluster: "demo", logger: quiet };
    const [one, two, three] = [
      await signed("1"),
      await signed("2"),
      await signed("3"),
    ];
    const revoked = [three.identity?.id ?? ""];
    await using first = createNode({
      ...options,
      ...one,
      trust: { ...trust, revoked },
    });
    await using second = createNode({ ...options, ...two, trust });
    first.on("twice", (number) => 2 * Number(number));
    const address = await first.listen("tcp://127.0.0.1:0");
    assertEquals(await second.join(address), 1);
    assertEquals(await second.request(first.id, "twice", 4), 8);
    await using third = createNode({ ...options, ...three, trust });
    assertEquals(await third.join(address), 0);
    assert(!first.members.has(third.id));
    // One that was believed so far.
    const gone = Promise.withResolvers<void>();
    first.onSystem("leave", () => gone.resolve());
    first.revoke(second.id);
    await gone.promise;
    assertEquals(await second.join(address), 0);
    const plain = createNode(options);
    assertThrows(() => plain.revoke(second.id), TypeError, "without `trust`");
  }));

Deno.test("a copied key does not push out the node that it was copied from", () =>
  inFolder(async (folder) => {
    const path = (name: string) => `${folder}/${name}.json`;
    const keys = await Promise.all(
      ["one", "two"].map((name) => createIdentityFile(path(name))),
    );
    const options = {
      cluster: "demo",
      logger: quiet,
      trust: { keys: keys.map(({ key }) => keyText(key)) },
    };
    const identity = await readIdentityFile(path("two"));
    await using first = createNode({
      ...options,
      identity: await readIdentityFile(path("one")),
    });
    await using second = createNode({ ...options, identity });
    second.on("twice", (number) => 2 * Number(number));
    const conflicts: string[] = [];
    const { promise: bothTold, resolve } = Promise.withResolvers<void>();
    const note = ({ id }: { readonly id: string }): void => {
      if (conflicts.push(id) === 2) resolve();
    };
    first.onSystem("conflict", note);
    const address = await first.listen("tcp://127.0.0.1:0");
    assertEquals(await second.join(address), 1);

    await using copy = createNode({ ...options, identity });
    copy.onSystem("conflict", note);
    await assertRejects(() => copy.join(address), JoinError, "share the id");
    await bothTold;
    assertEquals(conflicts, [second.id, second.id]);
    assertEquals(await first.request(second.id, "twice", 4), 8);
    assertEquals(first.members.get(second.id)?.incarnation, second.incarnation);
  }));
