// deno-lint-ignore-file no-console -- it tells the process that started it

/**
 * A process that gives malformed input to everything that takes some from outside:
 * codecs, the scan, frames, handshakes, the packets of every router, the messages of
 * every membership, and at last a whole node with all that it can carry. Half of it is
 * random, half is valid and changed. Writes what came of it as JSON, and progress as text
 * to the error output.
 *
 * @module
 */

import { json } from "@devts/protocol/json";
import { Keyring } from "@devts/protocol/keyring";
import {
  Belief,
  createIdentity,
  grant,
  keyText,
} from "@devts/protocol/identity";
import { msgpack } from "@devts/protocol/msgpack";
import { msgpackr } from "@devts/protocol/msgpackr";
import { scan } from "@devts/protocol/scan";
import { createSecret } from "@devts/protocol/secret";
import {
  acceptTrusted,
  dialTrusted,
  type Trust,
  type TrustedSide,
} from "@devts/protocol/trusted";
import { type Introduction, ProtocolError } from "@devts/protocol";
import { vectors } from "@devts/protocol/testing";
import { v1 } from "@devts/protocol/v1";
import type {
  InspectingRouter,
  Membership,
  Peer,
  Router,
  RouterFactory,
  SiftingMembership,
} from "@devts/routing";
import {
  seededRandom,
  VirtualClock,
  VirtualNetwork,
} from "@devts/routing/testing";
import { MalformedNode } from "./malformed_node.ts";
import { MEMBERSHIPS, ROUTERS } from "../../sim/parts.ts";

/** Takes inputs, and tells which errors are answers. */
interface Target {
  readonly name: string;
  /** Its part of all inputs. */
  readonly part: number;
  /** Valid inputs, to be changed. */
  readonly samples: readonly Uint8Array[];
  take(input: Uint8Array): unknown;
  isAnswer(error: unknown): boolean;
}

/** What came of all inputs. */
export interface MalformedReport {
  readonly tried: number;
  readonly uncaught: readonly string[];
  /** The longest that one took, in ms, and which target that was. */
  readonly worst: number;
  readonly slowest: string;
  /** How much more memory the process holds, in bytes. */
  readonly growth: number;
}

/** An input that took longer, in ms, is given again, so many times. */
const STALL = 2;
const TRIES = 5;

/** The part of all inputs that members send to a whole node. */
const NODE_PART = 0.03;
/** An honest member waits no longer while one sends a burst of them, in ms. */
const SERVED_WITHIN = 2_000;

const random = seededRandom(20_261_128);
const isSyntax = (error: unknown): boolean => error instanceof SyntaxError;
const isProtocol = (error: unknown): boolean => error instanceof ProtocolError;
const never = (): boolean => false;
const below = (limit: number): number => Math.floor(random() * limit);

function malformed(samples: readonly Uint8Array[]): Uint8Array {
  const sample = samples[below(samples.length)];
  if (sample === undefined || random() < 0.5) {
    return new Uint8Array(below(96)).map(() => below(256));
  }
  const kept = random() < 0.7 ? sample.length : below(sample.length + 1);
  const input = sample.slice(0, kept);
  for (let times = 1 + below(3); times > 0 && input.length > 0; times--) {
    input[below(input.length)] = below(256);
  }
  return input;
}

function codecs(): Target[] {
  const known = vectors.map(({ hex }) =>
    Uint8Array.from(hex.match(/../g) ?? [], (two) => parseInt(two, 16))
  );
  const texts = ['{"a":[1,2,{"b":null}]}', '"grün"', "[[[]],1e9,true]"];
  const encoded = texts.map((text) => new TextEncoder().encode(text));
  const of = (
    name: string,
    decode: (input: Uint8Array) => unknown,
    samples: readonly Uint8Array[],
    part: number,
  ): Target => ({ name, part, samples, take: decode, isAnswer: isSyntax });
  const [full, plain, text] = [msgpackr(), msgpack(), json()];
  return [
    of("msgpackr()", (input) => full.decode(input), known, 0.25),
    of("msgpack()", (input) => plain.decode(input), known, 0.05),
    of("json()", (input) => text.decode(input), encoded, 0.05),
    of("scan()", (input) => scan(input, 0, input.length), known, 0.15),
  ];
}

function frames(): Target[] {
  const protocol = v1();
  const header = (kind: "data" | "control" | "progress"): Uint8Array => {
    const frame = new Uint8Array(protocol.headerSize + 8);
    protocol.writeHeader(kind, frame);
    return frame;
  };
  const samples = [
    ...[header("data"), header("control"), header("progress")],
    ...[protocol.gap(7), protocol.goodbye("so long")],
  ];
  const of = (name: string, take: (input: Uint8Array) => unknown): Target => ({
    ...{ name, part: 0.05, samples, take, isAnswer: isProtocol },
  });
  return [
    of("readHeader()", (input) => protocol.readHeader(input)),
    of("readGap()", (input) => protocol.readGap(input)),
    of("readGoodbye()", (input) => protocol.readGoodbye(input)),
  ];
}

function introduction(id: string): Introduction {
  const addresses = ["tcp://10.0.0.7:7946"];
  const meta = Uint8Array.of(1, 2, 3);
  const numbers = { incarnation: 1, maxMessage: 65_536 };
  return {
    cluster: "demo",
    id,
    format: "msgpack",
    addresses,
    meta,
    ...numbers,
  };
}

/** Both ends of each handshake, in each state, with the message that each awaits. */
async function handshakes(): Promise<Target[]> {
  const { identity: authority } = await createIdentity();
  const term = { cluster: "demo", from: 0, until: 2 ** 50 };
  const granted = async () => {
    const { identity } = await createIdentity();
    const signed = await grant(authority, { ...term, key: identity.key });
    return { ...identity, grant: signed };
  };
  const [one, two] = [await granted(), await granted()];
  const keyring = new Keyring(createSecret());
  const belief = new Belief({ authorities: [keyText(authority.key)] });
  const side = (id: string, trust: Partial<Trust>): TrustedSide => ({
    self: () => introduction(id),
    random: (length) => crypto.getRandomValues(new Uint8Array(length)),
    carrier: "tls",
    trust: {
      keyring: null,
      identity: null,
      belief: null,
      now: () => 1,
      ...trust,
    },
  });
  const pairs: readonly [string, TrustedSide, TrustedSide][] = [
    ["of a secret", side("a", { keyring }), side("b", { keyring })],
    [
      "of keys",
      side(one.id, { identity: one, belief }),
      side(two.id, { identity: two, belief }),
    ],
  ];
  const targets: Target[] = [];
  for (const [name, dialer, acceptor] of pairs) {
    const first = await dialTrusted(dialer);
    const second = acceptTrusted(acceptor);
    if (first.type !== "receive" || second.type !== "receive") continue;
    const third = await second.next(first.send ?? null);
    if (third.type !== "receive") continue;
    const states = [
      ["hello", second, first.send],
      ["welcome", first, third.send],
      ["proof", third, third.send],
    ] as const;
    for (const [what, state, sample] of states) {
      targets.push({
        name: `the ${what} ${name}`,
        part: 0.005,
        samples: sample ? [sample] : [],
        take: (input) => state.next(input),
        isAnswer: isProtocol,
      });
    }
  }
  return [...targets, plainHello(), grants(belief, one)];
}

/** The handshake without proofs. */
function plainHello(): Target {
  const protocol = v1();
  const samples: Uint8Array[] = [];
  const hello = {
    role: "dialer",
    self: () => introduction("a"),
    admit: () => null,
  } as const;
  protocol.introduce({
    send: (message) => Promise.resolve(void samples.push(message)),
    receive: () => Promise.resolve(null),
  }, hello).catch(() => {});
  return {
    name: "the hello without proofs",
    part: 0.02,
    samples,
    take: (input) => {
      let given: Uint8Array | null = input;
      return protocol.introduce({
        send: () => Promise.resolve(),
        receive: () => {
          const message = given;
          given = null;
          return Promise.resolve(message);
        },
      }, { ...hello, role: "acceptor", self: () => introduction("b") });
    },
    isAnswer: isProtocol,
  };
}

function grants(
  belief: Belief,
  { key, grant }: { readonly key: Uint8Array; readonly grant: Uint8Array },
): Target {
  return {
    name: "a grant",
    part: 0.01,
    samples: [grant],
    take: async (input) => {
      const of = { key, cluster: "demo", now: 1 };
      const verdict = await belief.judge({ ...of, grant: input });
      const isSame = input.join() === grant.join();
      if (!("fault" in verdict) && !isSame) throw new Error("It was believed");
    },
    isAnswer: never,
  };
}

/** Each router and each membership, as a neighbour of two others. */
function routing(): Target[] {
  const routers = Object.entries(ROUTERS).map(([name, { make }]) =>
    routerOf(`${name}Router()`, make())
  );
  return [...routers, ...Object.keys(MEMBERSHIPS).map(membershipOf)];
}

/** What three nodes send each other by a router. */
function packetsOf(factory: RouterFactory): readonly Uint8Array[] {
  const network = new VirtualNetwork({ seed: 1, outbox: 100_000 });
  const samples: Uint8Array[] = [];
  for (const id of ["a", "b", "c"]) {
    network.add(id, {
      router: (context) => {
        const router = factory(context);
        const receive = router.receive.bind(router);
        router.receive = (from, packet, lane) => {
          samples.push(packet.slice());
          receive(from, packet, lane);
        };
        return router;
      },
    });
  }
  network.connect("a", "b");
  network.connect("b", "c");
  network.clock.tick(2_000);
  network.node("b").send("all", new TextEncoder().encode("sample"));
  network.clock.tick(2_000);
  return samples.slice(0, 500);
}

/** A router with two neighbours, whose program keeps nothing of what it is told. */
function routerOf(name: string, factory: RouterFactory): Target {
  const clock = new VirtualClock();
  const peer = (id: string): Peer => ({ id, incarnation: 1, addresses: [] });
  const router = factory({
    self: peer("a"),
    clock,
    random,
    links: { send: () => true, connect: () => {}, disconnect: () => {} },
    up: {
      deliver: () => {},
      undelivered: () => {},
      missed: () => {},
      link: () => {},
    },
  });
  for (const id of ["b", "c"]) {
    router.member({ type: "join", member: peer(id) });
    router.link({ type: "up", peer: peer(id) });
  }
  clock.tick(2_000);
  let taken = 0;
  return {
    name,
    part: 0.05,
    samples: packetsOf(factory),
    take: (input) => {
      router.receive(random() < 0.9 ? "b" : "stranger", input, "data");
      if (isInspecting(router)) router.inspect("b", input);
      // What it answers must leave, and what it waits for must end.
      if (++taken % 500 === 0) clock.tick(10);
    },
    isAnswer: never,
  };
}

function isInspecting(router: Router): router is InspectingRouter {
  return "inspect" in router;
}

function isSifting(membership: Membership): membership is SiftingMembership {
  return "sift" in membership;
}

function membershipOf(name: string): Target {
  const network = new VirtualNetwork({ seed: 1, outbox: 100_000 });
  const samples: Uint8Array[] = [];
  const make = MEMBERSHIPS[name];
  const peer = ROUTERS.peer;
  if (make === undefined || peer === undefined) throw new TypeError(name);
  for (const id of ["a", "b", "c"]) {
    network.add(id, {
      router: peer.make(),
      membership: (context) => {
        const membership = make()(context);
        const receive = membership.receive.bind(membership);
        membership.receive = (from, message) => {
          if (samples.length < 500) samples.push(message.slice());
          receive(from, message);
        };
        return membership;
      },
    });
  }
  for (const id of ["b", "c"]) network.connect(id, "a");
  network.clock.tick(40_000);
  const { membership } = network.node("a");
  let taken = 0;
  return {
    name: `${name}()`,
    part: 0.03,
    samples,
    take: (input) => {
      membership?.receive(random() < 0.9 ? "b" : "stranger", input);
      if (membership && isSifting(membership)) membership.sift("b", input);
      if (++taken % 500 === 0) network.clock.tick(10);
    },
    isAnswer: never,
  };
}

/** Others want the processor too: what is slow by itself is slow each time. */
async function timeOf(target: Target, input: Uint8Array): Promise<number> {
  let shortest = Infinity;
  for (let tries = 0; tries < TRIES && shortest > STALL; tries++) {
    const before = performance.now();
    try {
      const result = target.take(input);
      if (result instanceof Promise) await result;
    } catch {
      // It was told the first time.
    }
    shortest = Math.min(shortest, performance.now() - before);
  }
  return shortest;
}

async function attack(
  target: Target,
  inputs: number,
  seen: { worst: number; slowest: string; uncaught: string[] },
): Promise<void> {
  for (let i = 0; i < inputs; i++) {
    const input = malformed(target.samples);
    const before = performance.now();
    try {
      const result = target.take(input);
      if (result instanceof Promise) await result;
    } catch (error) {
      if (!target.isAnswer(error) && seen.uncaught.length < 20) {
        seen.uncaught.push(`${target.name}: ${error}`);
      }
    }
    const took = performance.now() - before;
    if (took <= seen.worst || took <= STALL) continue;
    seen.worst = Math.max(
      seen.worst,
      Math.min(took, await timeOf(target, input)),
    );
    seen.slowest = target.name;
  }
}

function reasonOf(event: Event): string {
  if (event instanceof PromiseRejectionEvent) return String(event.reason);
  return event instanceof ErrorEvent ? event.message : event.type;
}

/** What members send to a whole node. */
async function attackNode(
  node: MalformedNode,
  inputs: number,
  seen: { readonly uncaught: string[] },
): Promise<number> {
  const { sent, ended, slowest, faults } = await node.storm(inputs);
  seen.uncaught.push(...faults.map((fault) => `a whole node: ${fault}`));
  if (slowest > SERVED_WITHIN) {
    const took = `served an honest member after ${Math.round(slowest)} ms`;
    seen.uncaught.push(`a whole node: ${took}`);
  }
  console.error(`a whole node: ${sent} sent, ${ended} links ended`);
  return sent;
}

/** Memory that is held, once what is garbage has been collected. */
async function resident(): Promise<number> {
  const { gc } = globalThis as { gc?: () => void };
  gc?.();
  await new Promise((resolve) => setTimeout(resolve, 50));
  gc?.();
  return Deno.memoryUsage().rss;
}

async function main(total: number): Promise<void> {
  const targets = [
    ...codecs(),
    ...frames(),
    ...await handshakes(),
    ...routing(),
  ];
  await using node = await MalformedNode.create(random);
  const parts = targets.reduce((sum, { part }) => sum + part, NODE_PART);
  const seen = { worst: 0, slowest: "", uncaught: [] as string[] };
  for (const type of ["error", "unhandledrejection"]) {
    globalThis.addEventListener(type, (event) => {
      event.preventDefault();
      seen.uncaught.push(`${type}: ${reasonOf(event)}`);
    });
  }
  // Compiled code and tables of the usual size are no growth.
  for (const target of targets) await attack(target, 2_000, seen);
  await node.storm(20_000);
  const before = await resident();
  seen.worst = 0;
  let tried = 0;
  for (const target of targets) {
    const inputs = Math.ceil(total * target.part / parts);
    const start = performance.now();
    await attack(target, inputs, seen);
    tried += inputs;
    console.error(
      `${tried} of ${total}, ${target.name} ${
        Math.round((performance.now() - start) * 1_000 / inputs)
      } µs each`,
    );
  }
  tried += await attackNode(node, Math.ceil(total * NODE_PART / parts), seen);
  const growth = await resident() - before;
  const { worst, slowest, uncaught } = seen;
  const report: MalformedReport = { tried, uncaught, worst, slowest, growth };
  console.log(JSON.stringify(report));
}

if (import.meta.main) {
  await main(Number(Deno.args[0]));
  Deno.exit();
}
