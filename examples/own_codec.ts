/**
 * Codecs of one's own: CBOR (RFC 8949), by the library cborg, for all data of a node, and
 * for one event of a contract alone. Other nodes of its cluster must have the codec, too.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 examples/own_codec.ts --name ada       # prints its cluster port
 * deno run --allow-net=127.0.0.1 examples/own_codec.ts 7946 --name bob  # joins there; both speak CBOR
 * ```
 *
 * @module
 */
import { contract } from "@devts/devts";
import type { Codec } from "@devts/protocol";
import { checkData } from "@devts/protocol/data";
import { decode, encode } from "cborg";
import type { Arguments, Usage } from "./_arguments.ts";
import { run } from "./_program.ts";
import { CHAT_USAGE, runChat } from "./chat.ts";

/** CBOR: a codec is a name, a function from a value to bytes, and one back. */
export function cbor(): Codec {
  return {
    // The name of the format. Nodes whose formats differ refuse each other.
    name: "cbor",
    encode(value) {
      // Silently, a `Date` would arrive as something else: it is refused, with the path.
      checkData(value, judge);
      return encode(value);
    },
    decode(bytes) {
      try {
        const value: unknown = decode(bytes, { rejectDuplicateMapKeys: true });
        checkData(value, judge);
        return value;
      } catch (cause) {
        // Whatever comes from outside is a value or a SyntaxError.
        throw new SyntaxError("Cannot decode CBOR: it is malformed", { cause });
      }
    },
  };
}

/** Why the format cannot carry a scalar; `null`: it can. */
function judge(value: unknown): string | null {
  if (typeof value === "bigint") {
    return "a small bigint would arrive as a number";
  }
  if (typeof value === "string" && !value.isWellFormed()) {
    return "broken text has no UTF-8";
  }
  return null;
}

/** A contract in which one event has a codec of its own; the others have the node's. */
export const camera = contract({
  picture: { codec: cbor(), maxBytes: 100_000 },
  moved: {},
});

async function main(args: Arguments): Promise<void> {
  await runChat(args, { codec: cbor() });
}

const USAGE: Usage = {
  ...CHAT_USAGE,
  synopsis: "own_codec.ts [cluster port]",
};

if (import.meta.main) await run(USAGE, main);
