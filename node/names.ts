/** The one token of a name that `*` stands for. */
const ONE = "*";
/** The tokens to the end, one at least, that `>` stands for. */
const REST = ">";

const encoder = new TextEncoder();

/** What an event's name takes at most, in bytes. */
export const MAX_NAME = 255;

/**
 * The bytes of a name or a pattern.
 *
 * @throws {TypeError} If it is neither.
 */
export function encodeName(name: string): Uint8Array {
  if (typeof name !== "string" || name.length === 0 || !name.isWellFormed()) {
    throw new TypeError(
      `Cannot use ${
        JSON.stringify(name)
      } as the name of an event: it is a text of 1 to ${MAX_NAME} bytes in UTF-8`,
    );
  }
  const bytes = encoder.encode(name);
  if (bytes.length <= MAX_NAME) return bytes;
  throw new TypeError(
    `Cannot use "${
      name.slice(0, 40)
    }…" as the name of an event: it takes more than ${MAX_NAME} bytes`,
  );
}

/**
 * A pattern of names: tokens between dots, of which `*` stands for any one, and `>`, at
 * the end, for one or more. The same as the wildcards of NATS.
 */
export class Pattern {
  /** As it was written. */
  readonly text: string;
  readonly #tokens: readonly string[];

  private constructor(text: string, tokens: readonly string[]) {
    this.text = text;
    this.#tokens = tokens;
  }

  /**
   * The pattern that a text is; null: it is a name.
   *
   * @throws {TypeError} If `>` does not stand at the end.
   */
  static of(text: string): Pattern | null {
    if (!text.includes(ONE) && !text.includes(REST)) return null;
    const tokens = text.split(".");
    const rest = tokens.indexOf(REST);
    if (rest >= 0 && rest < tokens.length - 1) {
      throw new TypeError(
        `Cannot handle "${text}": ">" stands for the rest of a name, so nothing can follow it`,
      );
    }
    return rest >= 0 || tokens.includes(ONE) ? new Pattern(text, tokens) : null;
  }

  /** Whether it stands for a name, given by its tokens. */
  matches(name: readonly string[]): boolean {
    const tokens = this.#tokens;
    for (let i = 0; i < tokens.length; i++) {
      if (i >= name.length) return false;
      if (tokens[i] === REST) return true;
      if (tokens[i] !== ONE && tokens[i] !== name[i]) return false;
    }
    return tokens.length === name.length;
  }
}

/** The tokens of a name. */
export function tokensOf(name: string): readonly string[] {
  return name.split(".");
}
