import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { createSecret, secretText } from "@devts/protocol/secret";
import {
  helpOf,
  NODE_OPTIONS,
  nodeArguments,
  portOf,
  readArguments,
  type Usage,
  UsageError,
} from "./_arguments.ts";

const USAGE: Usage = {
  synopsis: "test.ts [cluster port] [word]",
  permissions: "--allow-net=127.0.0.1",
  about: "Tests.",
  positional: 2,
  options: { ...NODE_OPTIONS, loud: { help: "be loud" } },
};

Deno.test("readArguments() takes arguments and options in any order", () => {
  const { positional, values, flags } = readArguments(USAGE, [
    "007",
    "--id",
    "12",
    "--loud",
    "w",
    "--port=1",
  ]);
  assertEquals(positional, ["007", "w"]);
  assertEquals([...values], [["id", "12"], ["port", "1"]]);
  assertEquals([...flags], ["loud"]);
});

Deno.test("readArguments() refuses what the program does not know", () => {
  for (
    const args of [["--nope"], ["-x"], ["1", "w", "3"], ["--id"], ["--id="]]
  ) {
    assertThrows(() => readArguments(USAGE, args), UsageError);
  }
});

Deno.test("helpOf() shows every option", () => {
  const help = helpOf(USAGE);
  for (
    const part of [
      "test.ts [cluster port] [word]",
      "--id NAME",
      "--loud",
      "--help",
    ]
  ) {
    assertStringIncludes(help, part);
  }
});

Deno.test("nodeArguments() makes addresses of ports", async () => {
  const args = readArguments(USAGE, ["7946", "--port", "1", "--id", "ada"]);
  assertEquals(await nodeArguments(args), {
    options: { cluster: "example", id: "ada" },
    listen: "tcp://127.0.0.1:1",
    entries: ["tcp://127.0.0.1:7946"],
  });
  const { entries } = await nodeArguments(args, "stcp");
  assertEquals(entries, ["stcp://127.0.0.1:7946"]);
});

Deno.test("nodeArguments() leaves out what was not given", async () => {
  assertEquals(await nodeArguments(readArguments(USAGE, [])), {
    options: { cluster: "example" },
    listen: "tcp://127.0.0.1:0",
    entries: [],
  });
});

Deno.test("nodeArguments() takes a whole address", async () => {
  const args = readArguments(USAGE, ["tcp://10.0.0.7:7946"]);
  const { entries } = await nodeArguments(args);
  assertEquals(entries, ["tcp://10.0.0.7:7946"]);
});

Deno.test("nodeArguments() reads the secret from its file, and listens where it is told", async () => {
  const file = await Deno.makeTempFile();
  const text = secretText(createSecret());
  await Deno.writeTextFile(file, `${text}\n`);
  const args = readArguments(USAGE, [
    ...["--secret-file", file, "--host", "10.0.0.7", "--port", "7946"],
  ]);
  const { options, listen } = await nodeArguments(args);
  await Deno.remove(file);
  assertEquals(options, { cluster: "example", secret: text });
  assertEquals(listen, "tcp://10.0.0.7:7946");
});

Deno.test("portOf() refuses what is no port", () => {
  assertEquals(portOf("65535", "It"), 65_535);
  for (const text of ["", "x", "-1", "65536", "1.5", "0x1", "1e3"]) {
    assertThrows(() => portOf(text, "It"), UsageError, `not "${text}"`);
  }
});
