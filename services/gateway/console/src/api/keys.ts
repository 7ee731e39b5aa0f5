/** API keys, which scopes a new one can have, and when each was last used. */
import { credential, scopesOf } from "../session";
import { ask } from "./client";
import type { BudgetUsage, Limits } from "./limits";
import { useLoaded, useResult, type Loaded } from "./loaded";
import type { Page, Usage } from "./types";

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
  ...["keys", "usage", "budgets"],
] as const;

/** Of a hundred keys each; a page asks at most five times. */
const MOST_PAGES = 5;

/** Days of usage that one request tells. */
export const USE_DAYS = 31;

/** The scopes that whoever is signed in may give: their own, as far as anything says which these are. */
export function useGrantableScopes(): Loaded<readonly string[]> {
  return useResult("grantable scopes", (stop) => grantableScopes(credential.value, stop));
}

/** A token names its scopes; a key's record is looked for among the newest. */
async function grantableScopes(value: string, stop: AbortSignal): Promise<readonly string[]> {
  let after: string | null = "";
  for (let page = 0; page < MOST_PAGES && after !== null; page++) {
    const found: Page<ApiKey> = await ask<Page<ApiKey>>(`/v1/keys?limit=100${after && `&after=${after}`}`, { signal: stop });
    const own = scopesOf(value) ?? found.data.find((key) => value.startsWith(key.prefix))?.scopes;
    if (own !== undefined) return SCOPES.filter((scope) => own.includes(scope));
    after = found.has_more ? found.last_id : null;
  }
  return SCOPES;
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
