/** The bytes of messages, over codecs that carry bytes, and over those that do not. */
import type { Codec } from "@devts/protocol";

/** Bytes, or base64 where the node's codec carries none. */
export type Wire = Uint8Array | string;

/** Whether a codec carries bytes. */
export function carriesBytes(codec: Codec): boolean {
  try {
    return codec.decode(codec.encode(new Uint8Array(1))) instanceof Uint8Array;
  } catch {
    return false;
  }
}

/** Bytes for a codec that carries none. */
export function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 8_192) {
    text += String.fromCharCode(...bytes.subarray(i, i + 8_192));
  }
  return btoa(text);
}

/** @throws {SyntaxError} If it is neither bytes nor base64. */
export function unpack(data: unknown): Uint8Array {
  if (data instanceof Uint8Array) return data;
  if (typeof data === "string") return fromBase64(data);
  throw new SyntaxError("Cannot read replicated state: it is not bytes");
}

function fromBase64(text: string): Uint8Array {
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch {
    throw new SyntaxError("Cannot read replicated state: it is not base64");
  }
}
