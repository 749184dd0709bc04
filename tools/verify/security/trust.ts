import {
  handshakeOverTransports,
  handshakes,
  smallOrder,
} from "./handshakes.ts";
import { malformed } from "./malformed.ts";
import { refusals } from "./refusals.ts";
import { rotation } from "./rotation.ts";
import { secureDefault } from "./secure_default.ts";
import type { Row } from "../runner.ts";

/** Who gets in, and what strangers get to hear. */
export const trust: readonly Row[] = [
  handshakes,
  ...handshakeOverTransports,
  smallOrder,
  secureDefault,
  refusals,
  rotation,
  malformed,
];
