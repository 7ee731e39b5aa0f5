/** Webhooks: endpoints that are told of events. */
import { useLongList } from "../api/pages";
import type { Webhook } from "../api/webhooks";
import { ago } from "../format";
import { t } from "../i18n";
import { MoreButton } from "../parts/more";
import { Empty, Shown } from "../parts/states";
import { Table } from "../parts/table";
import { addressOf } from "../routing";
import { NewWebhook } from "./new_webhook";

const COLUMNS = ["webhook.url", "webhook.status", "webhook.events", "webhook.created"] as const;

export function WebhooksPage() {
  const webhooks = useLongList<Webhook>("/v1/webhooks");
  return (
    <>
      <h1 id="webhooks">{t("nav.webhooks")}</h1>
      <NewWebhook made={webhooks.reload} />
      <Shown of={webhooks}>{(all) => <WebhookTable webhooks={all} />}</Shown>
      <MoreButton list={webhooks} />
    </>
  );
}

function WebhookTable({ webhooks }: { webhooks: Webhook[] }) {
  if (webhooks.length === 0) return <Empty words={t("webhook.none")} command="mill webhooks create URL" />;
  return (
    <Table labelledBy="webhooks" head={COLUMNS.map((key) => t(key))}>
      {webhooks.map((webhook) => (
        <tr key={webhook.id}>
          <th scope="row">
            <a href={addressOf("webhooks", webhook.id)}>{webhook.url}</a>
          </th>
          <td>
            <WebhookStatus of={webhook} />
          </td>
          <td>{webhook.events.join(", ")}</td>
          <td>{ago(webhook.created_at)}</td>
        </tr>
      ))}
    </Table>
  );
}

export function WebhookStatus({ of }: { of: Webhook }) {
  const status = of.enabled ? "enabled" : "disabled";
  return (
    <span class={`status ${status}`}>
      {t(`webhook.${status}`)}
      {of.disabled_reason && ` (${of.disabled_reason})`}
    </span>
  );
}
