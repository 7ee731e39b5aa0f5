/** Tenants: how each stands, its limits and what is used of them; for operators. */
import { useListOf } from "../api/pages";
import type { Tenant } from "../api/tenants";
import { whole } from "../format";
import { named, t } from "../i18n";
import { limitsLine } from "../parts/limits";
import { MoreButton } from "../parts/more";
import { Empty, Shown } from "../parts/states";
import { Table } from "../parts/table";
import { addressOf } from "../routing";
import { NewTenant } from "./new_tenant";

const COLUMNS = ["tenant.name", "tenant.status", "tenant.limits", "tenant.used_tokens", "tenant.used_money"] as const;

export function TenantsPage() {
  const tenants = useListOf<Tenant>("/v1/tenants", byName);
  return (
    <>
      <h1 id="tenants">{t("nav.tenants")}</h1>
      <NewTenant />
      <Shown of={tenants}>{(all) => <TenantTable tenants={all} />}</Shown>
      <MoreButton list={tenants} />
    </>
  );
}

function byName(one: Tenant, other: Tenant): number {
  return one.id < other.id ? -1 : Number(one.id > other.id);
}

function TenantTable({ tenants }: { tenants: Tenant[] }) {
  if (tenants.length === 0) return <Empty words={t("tenant.none")} command="mill tenants create NAME" />;
  return (
    <Table labelledBy="tenants" head={COLUMNS.map((key) => t(key))}>
      {tenants.map((tenant) => (
        <tr key={tenant.id}>
          <th scope="row">
            <a href={addressOf("tenants", tenant.id)}>{tenant.id}</a>
          </th>
          <td>
            <TenantStatus of={tenant} />
          </td>
          <td>{limitsLine(tenant.limits)}</td>
          <td>{whole(tenant.usage.tokens)}</td>
          <td>{tenant.usage.money}</td>
        </tr>
      ))}
    </Table>
  );
}

export function TenantStatus({ of }: { of: Tenant }) {
  return <span class={`status ${of.status}`}>{named("tenant.status", of.status)}</span>;
}
