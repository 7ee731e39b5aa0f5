/** One tenant: its limits with what is used of them, and whether its requests are answered. */
import { useState } from "preact/hooks";
import { ask } from "../api/client";
import { useLoaded } from "../api/loaded";
import type { Tenant } from "../api/tenants";
import { when } from "../format";
import { t } from "../i18n";
import { AskedButton, ConfirmedButton } from "../parts/confirm";
import { Facts } from "../parts/facts";
import { LimitsTable } from "../parts/limits";
import { Refusal, Shown } from "../parts/states";
import { LimitsForm } from "./limits_form";
import { TenantStatus } from "./tenants";

const RELOAD_SECONDS = 15;

interface TenantProps {
  of: Tenant;
  changed: () => void;
}

export function TenantPage({ id }: { id: string }) {
  const tenant = useLoaded<Tenant>(pathOf(id), RELOAD_SECONDS);
  return (
    <>
      <h1>
        <code>{id}</code>
      </h1>
      <Shown of={tenant}>{(found) => <Found of={found} changed={tenant.reload} />}</Shown>
    </>
  );
}

function pathOf(id: string): string {
  return `/v1/tenants/${encodeURIComponent(id)}`;
}

function Found({ of, changed }: TenantProps) {
  const facts = [
    [t("tenant.created"), of.created_at !== null && when(of.created_at)],
    [t("tenant.changed"), of.changed_at !== null && when(of.changed_at)],
    [t("tenant.changed_by"), of.changed_by],
  ] as const;
  const isLasting = of.status === "active" || of.status === "suspended";
  return (
    <>
      <p>
        <TenantStatus of={of} />
      </p>
      {isLasting && <TenantActions of={of} changed={changed} />}
      <Facts facts={facts} />
      <section aria-labelledby="limits">
        <h2 id="limits">{t("tenant.limits")}</h2>
        <LimitsTable labelledBy="limits" limits={of.limits} usage={of.usage} />
        {isLasting && (
          <LimitsForm path={`${pathOf(of.id)}/limits`} call="tenants.limit" first={of.id} limits={of.limits} changed={changed} />
        )}
      </section>
    </>
  );
}

function TenantActions({ of, changed }: TenantProps) {
  const [error, setError] = useState<unknown>(null);
  const action = of.status === "active" ? "suspend" : "resume";

  async function act() {
    setError(null);
    try {
      await ask<Tenant>(`${pathOf(of.id)}/${action}`, { method: "POST" });
    } catch (refused) {
      setError(refused);
    }
    changed();
  }

  async function remove() {
    await ask<Tenant>(pathOf(of.id), { method: "DELETE" });
    changed();
  }

  return (
    <div class="actions">
      <ConfirmedButton label={t(`tenant.${action}`)} question={t(`tenant.${action}_asked`, { name: of.id })} act={() => void act()} />
      <AskedButton label={t("tenant.delete")} question={t("tenant.delete_asked", { name: of.id })} act={remove} />
      {error !== null && <Refusal error={error} />}
    </div>
  );
}
