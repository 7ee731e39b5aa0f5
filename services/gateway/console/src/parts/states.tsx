/** What stands where data are not there: still loading, refused, or nothing yet with the next step. */
import type { ComponentChildren } from "preact";
import { ApiError, UnreachableError } from "../api/client";
import { OPERATOR } from "../api/identity";
import type { Loaded } from "../api/loaded";
import { t } from "../i18n";

interface ShownProps<T> {
  of: Loaded<T>;
  children: (data: T) => ComponentChildren;
}

/** The data once they are there, and why there are none or no newer ones. */
export function Shown<T>({ of, children }: ShownProps<T>) {
  if (of.data === null && !of.error) return <p aria-busy="true">{t("state.loading")}</p>;
  // That the gateway does not answer, the banner says for the whole page.
  const isSaid = of.data !== null && of.error instanceof UnreachableError;
  return (
    <>
      {of.error && !isSaid ? <Refusal error={of.error} /> : null}
      {of.data !== null && children(of.data)}
    </>
  );
}

/** Why something could not be done, each reason in the words of the API. */
export function reasonsIn(error: unknown): string[] {
  if (error instanceof UnreachableError) return [t("state.unreachable")];
  if (!(error instanceof ApiError)) return [String(error)];
  return error.errors.length > 1 ? error.errors : [error.message];
}

/** The same, told at once. */
export function Refusal({ error }: { error: unknown }) {
  if (!(error instanceof ApiError)) return <p role="alert">{reasonsIn(error)}</p>;
  return (
    <div role="alert" class="refusal">
      {reasonsIn(error).map((reason) => (
        <p key={reason}>{reason}</p>
      ))}
      {error.code === "permission_denied" && <p>{t("state.scope")}</p>}
      {error.rules.length > 0 && <p>{error.rules.map((rule) => `${rule.id} (${rule.category})`).join(", ")}</p>}
    </div>
  );
}

/** Why a page is not shown: whoever is signed in has none of the scopes that open it. */
export function MissingScope({ scopes }: { scopes: readonly string[] }) {
  return (
    <div role="alert" class="refusal">
      <p>{t("state.lacks", { scope: oneOf(scopes) })}</p>
      {scopes.includes(OPERATOR) ? (
        <p>
          {t("state.operator")} <code>mill console --operator</code>
        </p>
      ) : (
        <p>{t("state.scope")}</p>
      )}
    </div>
  );
}

/** Scopes of which one is enough, in words. */
export function oneOf(scopes: readonly string[]): string {
  return scopes.reduce((one, other) => t("state.or", { one, other }));
}

/** That there is nothing yet, and what to do to have something. */
export function Empty({ words, command }: { words: string; command?: string }) {
  return (
    <p class="empty">
      {words} {command && <code>{command}</code>}
    </p>
  );
}
