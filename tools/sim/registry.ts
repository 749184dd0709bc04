import { churn } from "./churn.ts";
import { crash } from "./crash.ts";
import { deliveries, leaving } from "./deliveries.ts";
import { few } from "./few.ts";
import { graphs } from "./graphs.ts";
import { joining } from "./join.ts";
import { messages } from "./messages.ts";
import { nodes } from "./nodes.ts";
import { partition } from "./partition.ts";
import type { Parts } from "./parts.ts";
import { stalls } from "./stalls.ts";
import { thousand } from "./thousand.ts";
import type { Scenario, Timed } from "@devts/routing/testing";

/** A scenario whose script is made of anything, for those who only run it. */
export interface AnyScenario {
  /** Its name. */
  readonly name: string;
  /** Hands it over with the type that it has. */
  use<T>(user: <A extends Timed>(scenario: Scenario<A>) => T): T;
}

/** Makes a scenario for a router and a membership. */
export type MakeScenario = (parts: Parts) => AnyScenario;

/** The scenarios, by name; each is made for a router and a membership. */
export const SCENARIOS: Readonly<Record<string, MakeScenario>> = {
  crash: (parts) => any(crash(parts)),
  few: (parts) => any(few(parts)),
  join: (parts) => any(joining(parts)),
  partition: (parts) => any(partition(parts)),
  stalls: (parts) => any(stalls(parts)),
  graphs: (parts) => any(graphs(parts)),
  nodes: (parts) => any(nodes(parts)),
  messages: (parts) => any(messages(parts)),
  deliveries: (parts) => any(deliveries(parts)),
  leaving: (parts) => any(leaving(parts)),
};

/** Scenarios of networks so large that they are run by name only, and the router each is about. */
export const LARGE: Readonly<
  Record<string, { readonly router: string; readonly make: MakeScenario }>
> = {
  churn: { router: "map", make: (parts) => any(churn(parts)) },
  thousand: { router: "gossip", make: (parts) => any(thousand(parts)) },
};

/** The scenario of that name, large or not. */
export function scenarioOf(name: string): MakeScenario | undefined {
  if (Object.hasOwn(SCENARIOS, name)) return SCENARIOS[name];
  return Object.hasOwn(LARGE, name) ? LARGE[name]?.make : undefined;
}

function any<A extends Timed>(scenario: Scenario<A>): AnyScenario {
  return { name: scenario.name, use: (user) => user(scenario) };
}
