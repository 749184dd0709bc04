/** Numbers and texts by name, as they travel between the processes of a measurement. */
export type Named = Readonly<Record<string, string | number>>;

/** What came from another process, to be taken apart. */
export class Values {
  readonly #what: string;
  readonly #values: ReadonlyMap<string, unknown>;

  /** Takes anything; `what` names it in errors. */
  constructor(what: string, values: unknown) {
    this.#what = what;
    this.#values = new Map<string, unknown>(Object.entries(Object(values)));
  }

  /** Whether there is a value of that name. */
  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** The number of that name. */
  number(name: string): number {
    const value = this.#values.get(name);
    if (typeof value === "number") return value;
    throw new TypeError(`${this.#what} has no number "${name}"`);
  }

  /** The text of that name. */
  text(name: string): string {
    const value = this.#values.get(name);
    if (typeof value === "string") return value;
    throw new TypeError(`${this.#what} has no text "${name}"`);
  }

  /** What stands under that name, to be taken apart in turn. */
  values(name: string): Values {
    return new Values(this.#what, this.#values.get(name));
  }
}
