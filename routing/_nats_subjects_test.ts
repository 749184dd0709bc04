import { assertEquals, assertThrows } from "@std/assert";
import { MalformedError } from "./_bytes.ts";
import { senderOf, Subjects, tokenOf } from "./_nats_subjects.ts";

Deno.test("tokenOf() leaves nothing that means something in a subject", () => {
  assertEquals(tokenOf("a.b*c>d e"), "a%2Eb%2Ac%3Ed%20e");
  assertEquals(tokenOf("ada_1-x"), "ada_1-x");
});

Deno.test("senderOf() names who sends, in each kind of subject", () => {
  for (const id of ["ada", "a.b", "*", "%2E", "1>2"]) {
    const subjects = new Subjects("devts.1.demo", id);
    assertEquals(senderOf(subjects.all), id);
    assertEquals(senderOf(subjects.to("bob.c")), id);
    assertEquals(senderOf(subjects.toOne("workers", "job.done")), id);
  }
});

Deno.test("Subjects has the same subject for who sends and for who waits", () => {
  const ada = new Subjects("devts.1.demo", "ada");
  const bob = new Subjects("devts.1.demo", "b.b");
  assertEquals(bob.fromAny, [
    "devts.1.demo.to.b%2Eb.*",
    "devts.1.demo.all.*",
  ]);
  assertEquals(ada.to("b.b"), "devts.1.demo.to.b%2Eb.ada");
  assertEquals(ada.all, "devts.1.demo.all.ada");
  assertEquals(ada.toOne("g", "job.*"), "devts.1.demo.one.g.ada._job.*");
  assertEquals(bob.toOneFromAny("g", "job.*"), "devts.1.demo.one.g.*._job.*");
});

Deno.test("senderOf() refuses what names no node", () => {
  for (const token of ["", "%zz", "a%2eb", "%20", "ä"]) {
    const subject = `devts.1.demo.all.${token}`;
    const error = assertThrows(() => senderOf(subject), MalformedError);
    assertEquals(error.message, "A subject names no node");
  }
});
