/**
 * Standard Schema (https://standardschema.dev), as far as it is used here: what Zod,
 * Valibot, ArkType and others offer under `~standard`. Declared by its structure, so that
 * no library is needed.
 */

/** A schema of any library that offers Standard Schema. */
export interface StandardSchema<Input = unknown, Output = Input> {
  /** What the library offers. */
  readonly "~standard": {
    /** The version of Standard Schema. */
    readonly version: 1;
    /** The name of the library. */
    readonly vendor: string;
    /** Checks a value; a promise where the schema is asynchronous. */
    readonly validate: (
      value: unknown,
    ) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    /** The types, which exist for the compiler alone. */
    readonly types?:
      | { readonly input: Input; readonly output: Output }
      | undefined;
    /** Standard JSON Schema: describes the schema. */
    readonly jsonSchema?: {
      /** What it takes; throws where it cannot be described. */
      readonly input: (
        options: {
          readonly target: "draft-2020-12";
          readonly libraryOptions?: Record<string, unknown> | undefined;
        },
      ) => Record<string, unknown>;
    };
  };
}

/** What checking a value comes to. */
export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

/** What is wrong with a value. */
export interface SchemaIssue {
  /** A sentence, or a part of one. */
  readonly message: string;
  /** Where; none: the value itself. */
  readonly path?:
    | readonly (PropertyKey | { readonly key: PropertyKey })[]
    | undefined;
}

/** What a schema takes. */
export type InputOf<S> = S extends {
  readonly "~standard": {
    readonly types?: { readonly input: infer Input } | undefined;
  };
} ? Input
  : unknown;

/** What a schema makes of it. */
export type OutputOf<S> = S extends {
  readonly "~standard": {
    readonly types?: { readonly output: infer Output } | undefined;
  };
} ? Output
  : unknown;

// Of many issues, so many are told.
const ISSUES = 3;
const MAX_TEXT = 400;

/**
 * What a schema makes of a value.
 *
 * @throws {TypeError} If it does not fit; the message says where and why.
 */
export function parsed(schema: StandardSchema, value: unknown): unknown {
  const result = schema["~standard"].validate(value);
  if (result instanceof Promise) {
    result.catch(() => {});
    throw new TypeError(
      "its schema is asynchronous, and events are checked synchronously: check what takes time in the handler",
    );
  }
  if (!result.issues) return result.value;
  const told = result.issues.slice(0, ISSUES).map(textOfIssue);
  const more = result.issues.length - told.length;
  if (more > 0) told.push(`and ${more} more`);
  throw new TypeError(told.join("; ").slice(0, MAX_TEXT) || "it does not fit");
}

function textOfIssue({ path = [], message }: SchemaIssue): string {
  const where = path
    .map((part) => String(typeof part === "object" ? part.key : part))
    .join(".");
  return where === "" ? message : `"${where}": ${message}`;
}

/** What a schema says of itself as JSON Schema; null: it cannot, or not all of it. */
export function describedBy(
  schema: StandardSchema,
): Record<string, unknown> | null {
  try {
    return schema["~standard"].jsonSchema?.input({
      target: "draft-2020-12",
      // For Zod: what JSON Schema has no word for, such as a Date, fits everything.
      libraryOptions: { unrepresentable: "any" },
    }) ?? null;
  } catch {
    return null;
  }
}
