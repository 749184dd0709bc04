import { Host } from "./_virtual_host.ts";
import {
  SimListener,
  SimTransport,
  type VirtualTransport,
} from "./_virtual_transport.ts";
import type {
  VirtualMachine,
  VirtualMachineOptions,
} from "./_virtual_types.ts";
import type { World } from "./_virtual_world.ts";
import type { Clock, NodeId } from "./types.ts";

/** What a life of a machine has to itself. */
interface Life {
  readonly clock: Clock;
  readonly random: () => number;
  readonly transport: VirtualTransport;
}

/** A machine on which any program runs. */
export class MachineHost extends Host implements VirtualMachine {
  readonly #options: VirtualMachineOptions;
  readonly #invariants: {
    readonly name: string;
    readonly check: () => void;
  }[] = [];
  #life: Life;
  #addresses = 0;

  constructor(world: World, id: NodeId, options: VirtualMachineOptions) {
    super(world, id, options.clock);
    this.#options = options;
    this.#life = this.#begin();
  }

  get clock(): Clock {
    return this.#life.clock;
  }

  get random(): () => number {
    return this.#life.random;
  }

  get transport(): VirtualTransport {
    return this.#life.transport;
  }

  /** Starts its program. */
  start(): void {
    this.call(() => this.#options.start?.(this), "start");
  }

  restart(): void {
    if (this.running) {
      throw new TypeError(`Cannot restart machine "${this.id}": it is running`);
    }
    this.world.note(`restart ${this.id}`);
    this.#unlisten();
    this.#life = this.#begin();
    this.world.release();
    this.start();
  }

  always(name: string, check: () => void): void {
    this.#invariants.push({ name, check });
  }

  check(): void {
    for (const { name, check } of this.#invariants) {
      this.world.assert(name, this.id, check);
    }
  }

  listen(address: string | null): SimListener {
    const { listeners } = this.world;
    const own = address ?? this.freshAddress();
    if (listeners.has(own)) {
      throw this.error(`Cannot listen on "${own}": the address is in use`);
    }
    const listener = new SimListener(this, own);
    listeners.set(own, listener);
    return listener;
  }

  /** An address that nobody has had. */
  freshAddress(): string {
    return `virtual://${this.id}.${this.#addresses++}`;
  }

  error(message: string, options?: ErrorOptions): Error {
    const { connectionError = Error } = this.#options;
    return new connectionError(message, options);
  }

  /** Where it lost its power, nobody answers; elsewhere, nobody listens. */
  protected stopped(): void {
    if (!this.silent) this.#unlisten();
  }

  protected after(): void {
    if (this.#invariants.length > 0) this.world.touched.add(this);
  }

  #begin(): Life {
    this.begin();
    return {
      clock: this.makeClock(),
      random: this.chance(),
      transport: new SimTransport(this),
    };
  }

  #unlisten(): void {
    for (const [address, { host }] of this.world.listeners) {
      if (host === this) this.world.listeners.delete(address);
    }
  }
}
