/** The credential of this tab, and why a person has to sign in again. */
import { signal } from "@preact/signals";
import type { MessageKey } from "./i18n";

const NAME = "modelmill.credential";
const REASON_NAME = "modelmill.sign_in_reason";
/** Of what the gateway has told of whoever is signed in. */
export const IDENTITY_NAME = "modelmill.identity";

/** An API key or a token; empty when nobody is signed in. It lives as long as the tab, also over reloads. */
export const credential = signal(sessionStorage.getItem(NAME) ?? "");

/** Said above the sign-in form, also after a reload. */
export const signInReason = signal(sessionStorage.getItem(REASON_NAME) as MessageKey | null);

export function signIn(value: string): void {
  sessionStorage.setItem(NAME, value);
  credential.value = value;
  setReason(null);
}

export function signOut(reason: MessageKey | null = null): void {
  sessionStorage.removeItem(NAME);
  sessionStorage.removeItem(IDENTITY_NAME);
  credential.value = "";
  setReason(reason);
}

function setReason(reason: MessageKey | null): void {
  if (reason) sessionStorage.setItem(REASON_NAME, reason);
  else sessionStorage.removeItem(REASON_NAME);
  signInReason.value = reason;
}

/**
 * Take the token behind `#token=`, where `mill console` puts it: no server is sent this part of an address.
 *
 * It goes from the address and the history at once. Who is signed in already stays so: a link of others must not
 * bring somebody into an account of theirs.
 */
export function takeHandedToken(): void {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given === null) return;
  history.replaceState(null, "", `${location.pathname}#/`);
  if (!credential.value) signIn(given);
}

/** What a token says; nothing here checks its signature. Null for what is no token. */
export function claimsOf(token: string): Record<string, unknown> | null {
  const body = token.split(".")[1];
  if (!body) return null;
  try {
    const bytes = Uint8Array.from(atob(body.replaceAll("-", "+").replaceAll("_", "/")), (it) => it.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
  } catch {
    return null;
  }
}
