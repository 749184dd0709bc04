/** What ports are chosen from: below those that systems give to those who dial. */
const FIRST_PORT = 12_000;
const PORTS = 18_000;
/** Ports that were chosen, and may be listened on later. */
const given = new Set<number>();

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

/**
 * A port that is free on the loopback interface, another one each time. It stays free
 * while its server is down: systems give no such port to those who dial.
 */
export function freePort(): number {
  for (;;) {
    const port = FIRST_PORT + Math.floor(PORTS * Math.random());
    if (given.has(port)) continue;
    try {
      Deno.listen({ hostname: "127.0.0.1", port }).close();
      given.add(port);
      return port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
}
