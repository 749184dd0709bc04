import { deliver } from "./messaging/deliver.ts";
import { rows as interest } from "./messaging/interest.ts";
import { streams } from "./messaging/streams.ts";
import { types } from "./messaging/types.ts";
import { upgrade } from "./messaging/upgrade.ts";
import type { Row } from "./runner.ts";

/** What nodes say to each other. */
export const rows: readonly Row[] = [
  ...interest,
  ...streams,
  ...deliver,
  upgrade,
  types,
];
