import { Child, type SpawnOptions } from "../child.ts";
import { kindOf, SIZES } from "../payload.ts";
import type { Kind, Party, Peer } from "../peer.ts";
import type { Named, Values } from "../values.ts";

const KINDS: readonly Kind[] = Object.keys(SIZES).map(kindOf);

/** An event system to compare with, and the program that uses it. */
export interface System {
  /** The name of it as a peer. */
  readonly name: string;
  /** The program of the publisher and of the subscribers, in `programs/`. */
  readonly program: string;
  /** What runs the program. */
  readonly spawn: SpawnOptions;
  /** As that of a peer. */
  versions(): Promise<Readonly<Record<string, string>>>;
  /** Connects the programs with each other, or with a server that it starts. */
  wire(
    publisher: Program,
    subscribers: readonly Program[],
    processes: AsyncDisposableStack,
  ): Promise<Party["broker"]>;
}

/** A program of a system, whose name its errors bear. */
export class Program extends Child {
  readonly #system: string;

  /** Starts the program. */
  constructor(system: string, program: URL, options: SpawnOptions) {
    super(program, options);
    this.#system = system;
  }

  /** As that of a {@linkcode Child}. */
  override async ask(verb: string, args: Named = {}): Promise<Values> {
    try {
      return await super.ask(verb, args);
    } catch (error) {
      throw new Error(`${this.#system}: ${messageOf(error)}`, { cause: error });
    }
  }
}

/** Makes a peer of a system. */
export function peerOf(system: System): Peer {
  const { name, program, spawn, versions, wire } = system;
  const file = new URL(`programs/${program}`, import.meta.url);
  return {
    name,
    kinds: KINDS,
    requests: true,
    versions,
    async start(processes, count, { pinned = false } = {}) {
      const start = (processor: number) => {
        const options = pinned ? { ...spawn, processor } : spawn;
        return processes.use(new Program(name, file, options));
      };
      const publisher = start(0);
      const subscribers = Array.from({ length: count }, () => start(1));
      const broker = await wire(publisher, subscribers, processes);
      const party = { publisher, subscribers };
      return broker === undefined ? party : { ...party, broker };
    },
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
