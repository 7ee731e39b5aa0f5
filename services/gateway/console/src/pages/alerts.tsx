/** Alerts that fire or are about to, each with its remedy; a part of operations. */
import { useLoaded } from "../api/loaded";
import type { Alert } from "../api/operations";
import { ago } from "../format";
import { named, t } from "../i18n";
import { Empty, Shown } from "../parts/states";
import { Table } from "../parts/table";

const RELOAD_SECONDS = 15;
const COLUMNS = [
  ...(["ops.state", "ops.severity", "ops.alert", "ops.about", "ops.summary", "ops.remedy"] as const),
  ...(["ops.runbook", "ops.since"] as const),
];

export function Alerts() {
  const alerts = useLoaded<{ data: Alert[] }>("/v1/alerts", RELOAD_SECONDS);
  return (
    <section aria-labelledby="alerts">
      <h2 id="alerts">{t("ops.alerts")}</h2>
      <Shown of={alerts}>{({ data }) => <AlertTable alerts={data} />}</Shown>
    </section>
  );
}

function AlertTable({ alerts }: { alerts: Alert[] }) {
  if (alerts.length === 0) return <Empty words={t("ops.no_alerts")} />;
  return (
    <Table labelledBy="alerts" head={COLUMNS.map((key) => t(key))}>
      {alerts.map((alert) => (
        <AlertRow key={`${alert.name} ${labelsOf(alert)}`} of={alert} />
      ))}
    </Table>
  );
}

function AlertRow({ of }: { of: Alert }) {
  return (
    <tr>
      <td>
        <span class={`status ${of.state}`}>{named("ops.alert_state", of.state)}</span>
      </td>
      <td>{of.severity && named("ops.severity", of.severity)}</td>
      <th scope="row">{of.name}</th>
      <td>{labelsOf(of)}</td>
      <td class="told">{of.summary}</td>
      <td class="told">{of.remedy}</td>
      <td class="told">{of.runbook_url && <code>{of.runbook_url}</code>}</td>
      <td>{of.since !== null && ago(of.since)}</td>
    </tr>
  );
}

function labelsOf({ labels }: Alert): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}: ${value}`)
    .join(", ");
}
