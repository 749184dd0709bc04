import { assertEquals } from "@std/assert";
import { scan } from "./scan.ts";

function specifiers(source: string): string[] {
  return scan(source).imports.map(({ line, specifier, typeOnly }) =>
    `${line} ${specifier}${typeOnly ? " type" : ""}`
  );
}

Deno.test("scan() finds every kind of import", () => {
  const source = [
    `import "./a.ts";`,
    `import b, { c } from "./b.ts";`,
    `import * as d from './d.ts'`,
    `export * from "./e.ts";`,
    `export { f, g } from "./f.ts";`,
    `const h = await import("./h.ts");`,
  ].join("\n");
  assertEquals(specifiers(source), [
    "1 ./a.ts",
    "2 ./b.ts",
    "3 ./d.ts",
    "4 ./e.ts",
    "5 ./f.ts",
    "6 ./h.ts",
  ]);
});

Deno.test("scan() tells type imports from the others", () => {
  const source = [
    `import type { A } from "a";`,
    `export type { B } from "b";`,
    `import { type C } from "c";`,
    `import type from "d";`,
    `import type {`,
    `  E,`,
    `} from "e";`,
    `import type F from "f"`,
    `import { g } from "g"`,
  ].join("\n");
  assertEquals(specifiers(source), [
    "1 a type",
    "2 b type",
    "3 c",
    "4 d",
    "7 e type",
    "8 f type",
    "9 g",
  ]);
});

Deno.test("scan() sees no import in comments, strings, templates and regular expressions", () => {
  const source = [
    `// import "a";`,
    `/** import "b"; */`,
    `const c = 'import "c";';`,
    "const d = `import \"d\"; ${`import 'e' ${f}`}`;",
    `const g = /import "g"/.test(h) || /[/"]/.test(i);`,
    `const j = k / 2; const l = "from" + "x"; // "/`,
    `const from = Array.from("m");`,
    `import n from "n";`,
  ].join("\n");
  assertEquals(specifiers(source), ["8 n"]);
});

Deno.test("scan() keeps the code in a template's expression", () => {
  const { code } = scan("const a = `x ${b({ c: Date.now() })} Date.now()`;");
  assertEquals(code.match(/Date\.now/g)?.length, 1);
});

Deno.test("scan() keeps every offset", () => {
  const source = '/* é\n */ const a = "b\\""; // c\n`d\n${e}`;\n/f/g.test(a)';
  const { code } = scan(source);
  assertEquals(code.length, source.length);
  assertEquals(code.split("\n").length, source.split("\n").length);
});

Deno.test("scan() ends on source cut short", () => {
  for (
    const source of ['"a', "`a", "`a${", "/* a", "// a", "a = /b", '"\\', "`\\"]
  ) {
    assertEquals(scan(source).code.length, source.length);
  }
});
