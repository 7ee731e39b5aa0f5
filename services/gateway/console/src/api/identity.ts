/** Who is signed in, as the gateway understands the credential, and which scopes it grants. */
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { useLoaded, type Loaded } from "./loaded";

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

/** Ask who is signed in, for as long as they are. */
export function useIdentity(): void {
  const found = useLoaded<Identity>("/v1/me");
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

/** Whether one of these scopes is granted. Until that is known, what is for operators alone is not. */
export function mayOpen(scopes: readonly string[]): boolean {
  const own = identity.value.data?.scopes;
  if (scopes.length === 0) return true;
  return own ? scopes.some((scope) => own.includes(scope)) : !scopes.includes(OPERATOR);
}
