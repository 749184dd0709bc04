import { decode } from "@std/msgpack";
import { scan } from "./scan.ts";
import { ProtocolError } from "./types.ts";

/**
 * The fields of a message from outside: a map of MessagePack. Every getter
 * checks the type; ranges are the caller's business. Keys that nobody asks for
 * are ignored, so that later versions can add some.
 */
export class Fields {
  readonly #message: string;
  readonly #values: ReadonlyMap<string, unknown>;

  /**
   * Reads the fields from `bytes`, which hold the map and nothing else. `message`
   * names them in errors.
   */
  constructor(message: string, bytes: Uint8Array) {
    this.#message = message;
    this.#values = this.#read(bytes);
  }

  /** Whether there is such a key. */
  has(key: string): boolean {
    return this.#values.has(key);
  }

  /** A text. */
  text(key: string): string {
    const value = this.#values.get(key);
    if (typeof value !== "string") throw this.#mustBe(key, "a text");
    return value;
  }

  /** A list of texts. */
  texts(key: string): string[] {
    return this.list(key).map((value) => {
      if (typeof value === "string") return value;
      throw this.#mustBe(key, "a list of texts");
    });
  }

  /** A list of anything. */
  list(key: string): readonly unknown[] {
    const value = this.#values.get(key);
    if (!Array.isArray(value)) throw this.#mustBe(key, "a list");
    return value;
  }

  /** Bytes: a copy, so that they do not keep the whole message alive. */
  bytes(key: string): Uint8Array {
    const value = this.#values.get(key);
    if (!(value instanceof Uint8Array)) throw this.#mustBe(key, "bytes");
    return value.slice();
  }

  /** Bytes, or none where the key is missing. */
  bytesIfAny(key: string): Uint8Array {
    return this.has(key) ? this.bytes(key) : new Uint8Array(0);
  }

  /** A safe integer, however wide it was written. */
  integer(key: string): number {
    const value = this.#values.get(key);
    // The decoder gives a bigint for every integer that was written in 64 bits.
    const number = typeof value === "bigint" ? Number(value) : value;
    if (typeof number === "number" && Number.isSafeInteger(number)) {
      return number;
    }
    throw this.#mustBe(key, "a safe integer");
  }

  /** The error that says what is wrong with the message: "its … must be …". */
  error(fault: string, options?: ErrorOptions): ProtocolError {
    return new ProtocolError(
      `Cannot read the ${this.#message}: ${fault}`,
      options,
    );
  }

  #read(bytes: Uint8Array): ReadonlyMap<string, unknown> {
    const value = this.#decode(bytes);
    if (
      typeof value !== "object" || value === null || Array.isArray(value) ||
      value instanceof Uint8Array
    ) {
      throw this.error("its body is no map");
    }
    return new Map<string, unknown>(Object.entries(value));
  }

  #decode(bytes: Uint8Array): unknown {
    try {
      scan(bytes, 0, bytes.length);
      return decode(bytes);
    } catch (cause) {
      throw this.error("its body is no MessagePack", { cause });
    }
  }

  #mustBe(key: string, kind: string): ProtocolError {
    return this.error(`its "${key}" must be ${kind}`);
  }
}
