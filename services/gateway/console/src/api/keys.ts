/** API keys, which scopes a new one can have, and when each was last used. */
import { identity } from "./identity";
import type { BudgetUsage, Limits } from "./limits";
import { useLoaded, type Loaded } from "./loaded";
import type { Usage } from "./types";

export interface ApiKey {
  id: string;
  name: string;
  /** Its first characters. */
  prefix: string;
  status: "active" | "expired" | "revoked";
  scopes: string[];
  /** Empty for every model of the tenant. */
  models: string[];
  limits: Limits;
  expires_at: number | null;
  created_at: number;
  created_by: string;
}

/** The key itself, which is shown this once. */
export interface IssuedApiKey extends ApiKey {
  key: string;
}

export interface ShownApiKey extends ApiKey {
  /** Null where the key never had limits. */
  usage: BudgetUsage | null;
}

export const SCOPES = [
  ...["chat", "models:read", "models:write", "files", "datasets", "jobs", "webhooks", "moderation"],
  ...["keys", "usage", "logs", "budgets"],
] as const;

/** Days of usage that one request tells. */
export const USE_DAYS = 31;

/** The scopes that whoever is signed in may give: their own. */
export function grantableScopes(): Loaded<readonly string[]> {
  const { data, ...rest } = identity.value;
  return { ...rest, data: data && SCOPES.filter((scope) => data.scopes.includes(scope)) };
}

interface UsageByKey extends Usage {
  data: { start_time: number; results: (Usage["data"][number]["results"][number] & { api_key_id: string | null })[] }[];
}

/** When the last day (UTC) began on which each key was used, by its id. */
export function useLastUses(): Loaded<ReadonlyMap<string, number>> {
  const usage = useLoaded<UsageByKey>(`/v1/usage?group_by=api_key_id&last=${USE_DAYS}&limit=${USE_DAYS}`);
  return { ...usage, data: usage.data && lastUses(usage.data) };
}

function lastUses(usage: UsageByKey): ReadonlyMap<string, number> {
  // Days come oldest first, so a later one replaces it.
  const uses = usage.data.flatMap(({ start_time, results }) =>
    results.flatMap(({ api_key_id }) => (api_key_id ? [[api_key_id, start_time] as const] : [])),
  );
  return new Map(uses);
}
