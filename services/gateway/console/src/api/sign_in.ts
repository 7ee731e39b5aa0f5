/** Sign-in at an OpenID provider: authorization code with PKCE (S256), state and nonce, and no other flow. */
import { signal } from "@preact/signals";
import { t } from "../i18n";
import { claimsOf, signIn } from "../session";
import { isKnown } from "./client";

export interface SignInOption {
  issuer: string;
  client_id: string;
  scope: string;
  authorization_endpoint: string;
  token_endpoint: string;
}

/** What this tab must know again when the provider leads back to it. */
interface Begun {
  issuer: string;
  client_id: string;
  token_endpoint: string;
  state: string;
  nonce: string;
  verifier: string;
  /** Where the person wanted to be. */
  hash: string;
}

const NAME = "modelmill.sign_in";
const BYTES = 32;

/** How far a sign-in is that this page came back from. */
export const exchange = signal<{ isWaiting: boolean; error: string }>({ isWaiting: false, error: "" });

/** Go to the provider. Throws where the browser cannot hash, for the page is not from a secure address. */
export async function begin(at: SignInOption): Promise<void> {
  if (!isSecureContext) throw new Error(t("signin.insecure"));
  const [verifier, state, nonce] = [random(), random(), random()];
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  const { issuer, client_id, token_endpoint } = at;
  const begun: Begun = { issuer, client_id, token_endpoint, state, nonce, verifier, hash: location.hash };
  sessionStorage.setItem(NAME, JSON.stringify(begun));
  const address = new URL(at.authorization_endpoint);
  const asked = { response_type: "code", client_id, redirect_uri: ownAddress(), scope: at.scope, state, nonce };
  const proof = { code_challenge: base64url(new Uint8Array(digest)), code_challenge_method: "S256" };
  for (const [name, value] of Object.entries({ ...asked, ...proof })) address.searchParams.set(name, value);
  location.assign(address.href);
}

/**
 * Take what the provider has put behind the address, if it led here, and exchange it for a token.
 *
 * It goes from the address and the history at once. What this tab has not begun counts for nothing: a link of
 * others must not bring somebody into an account of theirs.
 */
export function takeCode(): void {
  const given = new URLSearchParams(location.search);
  if (!given.has("state")) return;
  const begun = takeBegun();
  history.replaceState(null, "", `${location.pathname}${begun?.hash ?? "#/"}`);
  if (begun === null || given.get("state") !== begun.state || (given.get("iss") ?? begun.issuer) !== begun.issuer) {
    exchange.value = { isWaiting: false, error: t("signin.mismatch") };
    return;
  }
  const code = given.get("code");
  if (code === null) {
    const reason = given.get("error_description") ?? given.get("error") ?? "";
    exchange.value = { isWaiting: false, error: t("signin.cancelled", { reason }) };
    return;
  }
  exchange.value = { isWaiting: true, error: "" };
  tokenOf(begun, code).then(
    (token) => {
      exchange.value = { isWaiting: false, error: "" };
      signIn(token);
    },
    (error: unknown) => {
      exchange.value = { isWaiting: false, error: error instanceof Error ? error.message : String(error) };
    },
  );
}

function takeBegun(): Begun | null {
  const kept = sessionStorage.getItem(NAME);
  sessionStorage.removeItem(NAME);
  return kept === null ? null : (JSON.parse(kept) as Begun);
}

async function tokenOf(begun: Begun, code: string): Promise<string> {
  const { client_id, verifier } = begun;
  const proof = { grant_type: "authorization_code", code, redirect_uri: ownAddress(), client_id, code_verifier: verifier };
  const answer = await fetch(begun.token_endpoint, {
    ...{ method: "POST", body: new URLSearchParams(proof) },
    ...({ cache: "no-store", credentials: "omit", redirect: "error" } as const),
  }).catch(() => null);
  const tokens = answer?.ok ? ((await answer.json().catch(() => null)) as Tokens | null) : null;
  if (typeof tokens?.access_token !== "string" || typeof tokens.id_token !== "string") throw new Error(t("signin.refused"));
  if (!isOf(tokens.id_token, begun)) throw new Error(t("signin.mismatch"));
  if (!(await isKnown(tokens.access_token))) throw new Error(t("signin.foreign"));
  return tokens.access_token;
}

interface Tokens {
  access_token?: unknown;
  id_token?: unknown;
}

/** Whether an id token, which came from the provider itself over TLS, is the answer to this very sign-in. */
function isOf(idToken: string, begun: Begun): boolean {
  const claims = claimsOf(idToken);
  const audience = claims?.aud;
  const isOurs = Array.isArray(audience) ? audience.includes(begun.client_id) : audience === begun.client_id;
  const isFresh = typeof claims?.exp === "number" && claims.exp * 1000 > Date.now();
  return isOurs && isFresh && claims?.nonce === begun.nonce && claims?.iss === begun.issuer;
}

function ownAddress(): string {
  return `${location.origin}${location.pathname}`;
}

function random(): string {
  return base64url(crypto.getRandomValues(new Uint8Array(BYTES)));
}

function base64url(bytes: Uint8Array): string {
  const text = btoa(String.fromCharCode(...bytes));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
