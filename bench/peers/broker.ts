/** How a server is started. */
export interface BrokerOptions {
  /** Its path. */
  readonly command: string;
  /** Its arguments. */
  readonly args: readonly string[];
  /** Where it logs. */
  readonly log: "stdout" | "stderr";
  /** What it logs once it can be connected to. */
  readonly ready: RegExp;
}

/** A server that runs. */
export interface Broker {
  /** The id of its process. */
  readonly pid: number;
  /** What matched of its log, with the groups. */
  readonly ready: RegExpExecArray;
}

/**
 * Starts the server between the programs of a system, which ends with the stack.
 *
 * @throws {Error} If it ends before it is ready; says what it logged.
 */
export async function startBroker(
  processes: AsyncDisposableStack,
  { command, args, log, ready }: BrokerOptions,
): Promise<Broker> {
  const process = new Deno.Command(command, {
    args: [...args],
    stdin: "null",
    stdout: log === "stdout" ? "piped" : "null",
    stderr: log === "stderr" ? "piped" : "null",
  }).spawn();
  const lines = process[log].pipeThrough(new TextDecoderStream()).getReader();
  processes.defer(async () => {
    kill(process);
    await process.status;
    await lines.cancel();
  });
  let text = "";
  for (;;) {
    const { value } = await lines.read();
    if (value === undefined) {
      throw new Error(`Cannot start ${command}: it ended, saying: ${text}`);
    }
    text += value;
    const match = ready.exec(text);
    if (match === null) continue;
    drain(lines).catch(() => {});
    return { pid: process.pid, ready: match };
  }
}

function kill(process: Deno.ChildProcess): void {
  try {
    process.kill("SIGKILL");
  } catch {
    // It has ended.
  }
}

/** Lets it log on: it would wait for a full pipe. */
async function drain(
  lines: ReadableStreamDefaultReader<string>,
): Promise<void> {
  while (!(await lines.read()).done);
}

/** A port that is free on the loopback interface. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}
