/** One API key: what it may do, its limits with what is used of them, and a way to revoke it. */
import type { ShownApiKey } from "../api/keys";
import { useLoaded } from "../api/loaded";
import { when } from "../format";
import { t } from "../i18n";
import { Facts } from "../parts/facts";
import { LimitsTable } from "../parts/limits";
import { Shown } from "../parts/states";
import { KeyStatus, RevokeButton } from "./keys";

const RELOAD_SECONDS = 15;

export function KeyPage({ id }: { id: string }) {
  const key = useLoaded<ShownApiKey>(`/v1/keys/${encodeURIComponent(id)}`, RELOAD_SECONDS);
  return (
    <>
      <h1>
        <code>{id}</code>
      </h1>
      <Shown of={key}>{(found) => <Found of={found} changed={key.reload} />}</Shown>
    </>
  );
}

function Found({ of, changed }: { of: ShownApiKey; changed: () => void }) {
  const facts = [
    [t("key.name"), of.name],
    [t("key.prefix"), <code>{of.prefix}…</code>],
    [t("key.scopes"), of.scopes.join(", ")],
    [t("key.models"), of.models.length ? of.models.join(", ") : of.status !== "revoked" && t("key.every_model")],
    [t("key.created"), when(of.created_at)],
    [t("key.created_by"), of.created_by],
    [t("key.expires"), of.expires_at === null ? t("key.never") : when(of.expires_at)],
  ] as const;
  return (
    <>
      <p>
        <KeyStatus of={of} />
      </p>
      {of.status === "active" && (
        <div class="actions">
          <RevokeButton of={of} revoked={changed} />
        </div>
      )}
      <Facts facts={facts} />
      <section aria-labelledby="limits">
        <h2 id="limits">{t("key.limits")}</h2>
        <LimitsTable labelledBy="limits" limits={of.limits} usage={of.usage} />
      </section>
    </>
  );
}
