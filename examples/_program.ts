import {
  type Arguments,
  helpOf,
  readArguments,
  type Usage,
  UsageError,
} from "./_arguments.ts";

/**
 * Runs a program: shows its help, or calls `main` with its arguments. Ends with
 * status 2 where the arguments do not fit, and with 1 where `main` fails.
 */
export async function run(
  usage: Usage,
  main: (args: Arguments) => Promise<void>,
): Promise<never> {
  try {
    const args = readArguments(usage, Deno.args);
    if (args.flags.has("help")) console.log(helpOf(usage));
    else await main(args);
  } catch (error) {
    console.error(`error: ${error instanceof Error ? error.message : error}`);
    if (!(error instanceof UsageError)) Deno.exit(1);
    console.error("       --help shows how to use it");
    Deno.exit(2);
  }
  // A read from the terminal may still be pending, and would keep the process alive.
  Deno.exit(0);
}

/**
 * Resolves on Ctrl-C, or when the process is asked to end, so that the caller can
 * leave the cluster in good order. Asked a second time, the process ends at once.
 */
export function interrupted(): Promise<void> {
  // Windows knows only one of the two.
  const signals: readonly Deno.Signal[] = Deno.build.os === "windows"
    ? ["SIGINT"]
    : ["SIGINT", "SIGTERM"];
  const { promise, resolve } = Promise.withResolvers<void>();
  function stop(): void {
    for (const signal of signals) Deno.removeSignalListener(signal, stop);
    resolve();
  }
  for (const signal of signals) Deno.addSignalListener(signal, stop);
  return promise;
}
