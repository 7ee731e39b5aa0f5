/** Who is signed in, as the gateway understands the credential, and which scopes it grants. */
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { IDENTITY_NAME, credential } from "../session";
import { ask } from "./client";
import { useResult, type Loaded } from "./loaded";

export const OPERATOR = "operator";

export interface Identity {
  tenant: string;
  subject: string;
  scopes: string[];
  /** Empty for every model of the tenant. */
  models: string[];
  /** Null for a token. */
  key_id: string | null;
  expires_at: number | null;
}

const UNKNOWN: Loaded<Identity> = { data: null, error: null, reload: () => undefined };

/** What the gateway has told of whoever is signed in; pages read it in place of asking again. */
export const identity = signal<Loaded<Identity>>(UNKNOWN);

/** After which a reload asks anew: what a key may do can become less. */
const FRESH_MS = 60_000;

interface KeptIdentity {
  credential: string;
  at: number;
  identity: Identity;
}

/** Ask who is signed in, for as long as they are. */
export function useIdentity(): void {
  const found = useResult<Identity>("/v1/me", whoAsks);
  useEffect(() => {
    identity.value = found;
  }, [found.data, found.error]);
  useEffect(
    () => () => {
      identity.value = UNKNOWN;
    },
    [],
  );
}

async function whoAsks(stop: AbortSignal): Promise<Identity> {
  const kept = JSON.parse(sessionStorage.getItem(IDENTITY_NAME) ?? "null") as KeptIdentity | null;
  if (kept?.credential === credential.value && Date.now() - kept.at < FRESH_MS) return kept.identity;
  const found = { credential: credential.value, at: Date.now(), identity: await ask<Identity>("/v1/me", { signal: stop }) };
  sessionStorage.setItem(IDENTITY_NAME, JSON.stringify(found));
  return found.identity;
}

/** Whether one of these scopes is granted. Until that is known, what is for operators alone is not. */
export function mayOpen(scopes: readonly string[]): boolean {
  const own = identity.value.data?.scopes;
  if (scopes.length === 0) return true;
  return own ? scopes.some((scope) => own.includes(scope)) : !scopes.includes(OPERATOR);
}
