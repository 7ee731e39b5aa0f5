/** One API key: what it may do, its limits with what is used of them, a form that sets them, and ways to give it another secret or to revoke it. */
import { useState } from "preact/hooks";
import { ask } from "../api/client";
import type { IssuedApiKey, ShownApiKey } from "../api/keys";
import { useLoaded } from "../api/loaded";
import { when } from "../format";
import { t } from "../i18n";
import { AskedButton } from "../parts/confirm";
import { Facts } from "../parts/facts";
import { LimitsTable } from "../parts/limits";
import { NewSecret } from "../parts/new_secret";
import { Shown } from "../parts/states";
import { KeyStatus, RevokeButton } from "./keys";
import { LimitsForm } from "./limits_form";

const RELOAD_SECONDS = 15;

export function KeyPage({ id }: { id: string }) {
  const [secret, setSecret] = useState("");
  const key = useLoaded<ShownApiKey>(pathOf(id), RELOAD_SECONDS);
  return (
    <>
      <h1>
        <code>{id}</code>
      </h1>
      {secret && <NewSecret label={t("key.secret")} secret={secret} words={t("key.rotated")} />}
      <Shown of={key}>{(found) => <Found of={found} changed={key.reload} rotated={setSecret} />}</Shown>
    </>
  );
}

function pathOf(id: string): string {
  return `/v1/keys/${encodeURIComponent(id)}`;
}

interface FoundProps {
  of: ShownApiKey;
  changed: () => void;
  /** Called with the new secret. */
  rotated: (secret: string) => void;
}

function Found({ of, changed, rotated }: FoundProps) {
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
          <AskedButton
            label={t("key.rotate")}
            question={t("key.rotate_asked", { name: of.name })}
            act={async () => rotated((await ask<IssuedApiKey>(`${pathOf(of.id)}/rotate`, { method: "POST" })).key)}
          />
          <RevokeButton of={of} revoked={changed} />
        </div>
      )}
      <Facts facts={facts} />
      <section aria-labelledby="limits">
        <h2 id="limits">{t("key.limits")}</h2>
        <LimitsTable labelledBy="limits" limits={of.limits} usage={of.usage} />
        {of.status === "active" && (
          <LimitsForm path={pathOf(of.id)} method="PATCH" call="keys.update" first={of.id} limits={of.limits} changed={changed} />
        )}
      </section>
    </>
  );
}
