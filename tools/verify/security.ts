import type { Row } from "./runner.ts";
import { hostileMember } from "./security/hostile_member.ts";
import { hostileStranger } from "./security/hostile_stranger.ts";
import { permissions } from "./security/permissions.ts";
import { transports } from "./security/transports.ts";
import { trust } from "./security/trust.ts";

/** Strangers, members that misbehave, trust and encryption. */
export const rows: readonly Row[] = [
  ...trust,
  permissions,
  ...hostileStranger,
  ...transports,
  ...hostileMember,
];
