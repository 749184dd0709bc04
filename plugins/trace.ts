/**
 * Writes a line for each message that passes a link.
 *
 * ```ts
 * import { createNode } from "@devts/devts";
 * import { trace } from "@devts/plugins/trace";
 *
 * await using node = createNode({
 *   cluster: "demo",
 *   linkPlugins: [trace({ write: (line) => console.log(line) })],
 * });
 * // 00:12.345 bob -> 42 B 10 00 00 00 01 00 04 73 61 79 a5 68 65 6c 6c 6f |.......say.hello|
 * ```
 *
 * @module
 */

import { isInPlace, wrapConnection } from "@devts/transport";
import { machineClock } from "./_clock.ts";
import type { LinkPlugin, PluginClock } from "./types.ts";

/** Options of {@linkcode trace}. */
export interface TraceOptions {
  /** Takes a line. What it throws is ignored. */
  readonly write: (line: string) => void;
  /**
   * Says what a message is, in place of its first bytes: what a protocol's `readHeader`
   * says, for example. Called for what others sent as well.
   *
   * @default {its first bytes, in hexadecimal}
   */
  readonly describe?: (message: Uint8Array) => string;
  /**
   * How many bytes of a message are shown.
   *
   * @default {16}
   */
  readonly bytes?: number;
  /**
   * Where time comes from.
   *
   * @default {the time of this machine}
   */
  readonly clock?: PluginClock;
}

/**
 * Writes lines for people: the time since the plugin was made, the peer, `->` for what
 * was sent and `<-` for what came, how long it is, how it begins. Also when the link
 * comes up and how it ends.
 *
 * It shows data in the clear. Control characters stand as dots, so that a peer cannot
 * write to a terminal.
 */
export function trace(options: TraceOptions): LinkPlugin {
  const { describe, bytes = 16, clock = machineClock } = options;
  const start = clock.now();

  function line(id: string, text: string): void {
    try {
      options.write(
        `${timeText(clock.now() - start)} ${printable(id)} ${text}`,
      );
    } catch {
      // A log that fails must not end what is logged.
    }
  }

  function message(id: string, arrow: string, content: Uint8Array): void {
    line(id, `${arrow} ${content.length} B ${shown(content)}`);
  }

  function shown(content: Uint8Array): string {
    if (!describe) return dump(content, bytes);
    try {
      return printable(describe(content));
    } catch {
      return dump(content, bytes);
    }
  }

  return (connection, { id }) => {
    line(id, `is linked at ${printable(connection.remote)}`);
    let isOpen = true;
    const received = (content: Uint8Array | null): Uint8Array | null => {
      if (content === null) line(id, "<- end");
      else message(id, "<-", content);
      return content;
    };
    return wrapConnection(connection, {
      send(content) {
        message(id, "->", content);
        return connection.send(content);
      },
      receive: async (options) => received(await connection.receive(options)),
      close(reason) {
        if (isOpen) line(id, closeText(reason));
        isOpen = false;
        return connection.close(reason);
      },
      ...isInPlace(connection) && {
        sendFrame(frame, done) {
          message(id, "->", frame.subarray(connection.framing.size));
          return connection.sendFrame(frame, done);
        },
        borrow: async (options) => received(await connection.borrow(options)),
      },
    });
  };
}

function closeText(reason: Error | undefined): string {
  return reason ? `-> closed: ${printable(reason.message)}` : "-> closed";
}

/** Minutes, seconds, thousandths. */
function timeText(ms: number): string {
  const minutes = String(Math.floor(ms / 60_000)).padStart(2, "0");
  return `${minutes}:${(ms / 1000 % 60).toFixed(3).padStart(6, "0")}`;
}

function dump(content: Uint8Array, count: number): string {
  const first = content.subarray(0, count);
  const hex = Array.from(first, (byte) => byte.toString(16).padStart(2, "0"));
  const text = printable(String.fromCharCode(...first));
  return `${hex.join(" ")} |${text}|${content.length > count ? " …" : ""}`;
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, ".");
}
