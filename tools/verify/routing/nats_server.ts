import { type Broker, startBroker } from "../../../bench/peers/broker.ts";
import { installServer } from "../../../bench/peers/install.ts";

/** Where a NATS server runs, and with whom. */
export interface NatsServerOptions {
  /** The port for clients, on all addresses. */
  readonly port: number;
  /** The port for other servers of its NATS cluster. */
  readonly clusterPort: number;
  /** Another server of its NATS cluster: `nats://10.77.1.2:6222`. */
  readonly route?: string;
  /** The command that runs another one where it is to run. */
  readonly runtime?: readonly string[];
}

/** A NATS server that can be killed and started again. */
export class NatsServer implements AsyncDisposable {
  readonly #options: NatsServerOptions;
  #running: AsyncDisposableStack | null = null;

  /** Starts nothing. */
  constructor(options: NatsServerOptions) {
    this.#options = options;
  }

  /** Why there can be none on this machine; `null`: there can. */
  static async unavailable(): Promise<string | null> {
    try {
      await installServer("nats-server");
      return null;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  /** Its URL, for programs on the same host. */
  get url(): string {
    return `nats://127.0.0.1:${this.#options.port}`;
  }

  /** Starts it; resolves once it takes connections. */
  async start(): Promise<Broker> {
    const { port, clusterPort, route, runtime = [] } = this.#options;
    const running = new AsyncDisposableStack();
    this.#running = running;
    const [command = "", ...args] = [
      ...runtime,
      await installServer("nats-server"),
      ...["-a", "0.0.0.0", "-p", `${port}`],
      ...["--cluster_name", "verify"],
      ...["--cluster", `nats://0.0.0.0:${clusterPort}`],
      // Clients are told the URLs that they can reach, and need not try all others.
      "--no_advertise",
      ...route === undefined ? [] : ["--routes", route],
    ];
    return await startBroker(running, {
      command,
      args,
      log: "stderr",
      ready: /Server is ready/,
    });
  }

  /** Kills it. */
  async kill(): Promise<void> {
    await this.#running?.disposeAsync();
    this.#running = null;
  }

  /** The same. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}
