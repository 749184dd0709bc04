/** One specifier that a module imports or re-exports from. */
export interface Import {
  /** What stands in the quotes. */
  readonly specifier: string;
  /** Counted from 1. */
  readonly line: number;
  /** Whether it disappears at run time: `import type` or `export type`. */
  readonly typeOnly: boolean;
}

/** A module without what is not code. */
export interface Scan {
  /** The source with comments and the contents of strings blanked, at the same offsets. */
  readonly code: string;
  /** What it imports, in order. */
  readonly imports: readonly Import[];
}

/** A string literal: where its opening quote stands, and what it says. */
interface Literal {
  readonly start: number;
  readonly text: string;
}

/** After these words a slash starts a regular expression. */
const BEFORE_REGEXP =
  /(?:^|[(,=:[!&|?{};+\-*%~^<>]|\b(?:return|typeof|case|in|of|do|else|await|yield|void|delete|throw))$/;

/** Finds the code and the imports of a TypeScript module. */
export function scan(source: string): Scan {
  const { code, literals } = blank(source);
  const imports = literals.flatMap((literal) => importOf(code, literal) ?? []);
  return { code, imports };
}

/** The line, from 1, of an offset. */
export function lineAt(source: string, offset: number): number {
  let line = 1;
  for (let i = source.indexOf("\n"); i !== -1 && i < offset;) {
    line++;
    i = source.indexOf("\n", i + 1);
  }
  return line;
}

function importOf(code: string, literal: Literal): Import | null {
  const before = code.slice(0, literal.start).trimEnd();
  const line = lineAt(code, literal.start);
  const { text: specifier } = literal;
  if (/(?<![\w$.])import(?:\s*\()?$/.test(before)) {
    return { specifier, line, typeOnly: false };
  }
  if (!/(?<![\w$.])from$/.test(before)) return null;
  const statement =
    /(?<![\w$.])(?:import|export)(\s+type(?!\s+from\b|\s*,))?(?:(?!\b(?:import|export)\b)[^;])*$/
      .exec(before);
  if (statement === null) return null;
  return { specifier, line, typeOnly: statement[1] !== undefined };
}

/** Blanks comments, strings and regular expressions; keeps the code within templates. */
function blank(source: string): { code: string; literals: Literal[] } {
  const literals: Literal[] = [];
  /** For each open template, how many braces are open in its current expression. */
  const templates: number[] = [];
  let code = "";
  let at = 0;

  function skip(end: number): void {
    code += source.slice(at, end).replace(/[^\n]/g, " ");
    at = end;
  }
  function take(): void {
    code += source[at];
    at++;
  }
  function template(): void {
    const end = endOfTemplatePart(source, at);
    skip(end);
    if (source.startsWith("${", at)) {
      templates.push(0);
      skip(at + 2);
    } else {
      skip(Math.min(at + 1, source.length));
    }
  }

  while (at < source.length) {
    const char = source[at];
    const depth = templates.at(-1);
    if (source.startsWith("//", at)) {
      skip(until(source, "\n", at));
    } else if (source.startsWith("/*", at)) {
      skip(Math.min(until(source, "*/", at + 2) + 2, source.length));
    } else if (char === '"' || char === "'") {
      const end = endOfQuoted(source, at);
      literals.push({ start: at, text: source.slice(at + 1, end - 1) });
      skip(end);
    } else if (char === "`") {
      skip(at + 1);
      template();
    } else if (char === "/" && BEFORE_REGEXP.test(code.trimEnd().slice(-12))) {
      skip(endOfRegExp(source, at));
    } else if (char === "}" && depth === 0) {
      templates.pop();
      skip(at + 1);
      template();
    } else {
      if (depth !== undefined && char === "{") {
        templates[templates.length - 1] = depth + 1;
      }
      if (depth !== undefined && char === "}") {
        templates[templates.length - 1] = depth - 1;
      }
      take();
    }
  }
  return { code, literals };
}

function until(source: string, text: string, from: number): number {
  const found = source.indexOf(text, from);
  return found === -1 ? source.length : found;
}

function endOfQuoted(source: string, start: number): number {
  const quote = source[start];
  let at = start + 1;
  while (at < source.length && source[at] !== quote && source[at] !== "\n") {
    at += source[at] === "\\" ? 2 : 1;
  }
  return Math.min(at + 1, source.length);
}

function endOfTemplatePart(source: string, start: number): number {
  let at = start;
  while (
    at < source.length && source[at] !== "`" && !source.startsWith("${", at)
  ) {
    at += source[at] === "\\" ? 2 : 1;
  }
  return Math.min(at, source.length);
}

function endOfRegExp(source: string, start: number): number {
  let inClass = false;
  let at = start + 1;
  while (at < source.length && source[at] !== "\n") {
    const char = source[at];
    if (char === "/" && !inClass) return at + 1;
    if (char === "[") inClass = true;
    if (char === "]") inClass = false;
    at += char === "\\" ? 2 : 1;
  }
  return Math.min(at, source.length);
}
