/**
 * What one needs to test a store of one's own: whole nodes under virtual time whose
 * network is cut, whose programs are killed and whose clocks are set, and oracles that
 * hold what clients saw against what a store promises.
 *
 * {@linkcode simulate} runs it with one seed after the other and cuts down what makes one
 * fail; {@linkcode checkHistory} and its parts are the oracles. (What runs any other
 * scenario, of routers or of nodes, is `simulate` of `@devts/routing/testing`.)
 *
 * @module
 */
export type {
  History,
  Operation,
  OperationKind,
  OperationOutcome,
} from "./_sim_history.ts";
export {
  checkHistory,
  converges,
  HistoryError,
  monotonicReads,
  noLostWrites,
  readYourWrites,
} from "./_sim_oracles.ts";
export { simulatedParts } from "./_sim_parts.ts";
export {
  type Program,
  simulate,
  type SimulateOptions,
  type StoreFailure,
  type StoreReport,
  type StoreScenario,
} from "./_sim_run.ts";
export type { Action, Ask, Trouble } from "./_sim_script.ts";
