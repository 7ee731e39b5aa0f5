/** One webhook endpoint: its deliveries, a test event, and whether events are delivered. */
import { useState } from "preact/hooks";
import { ask } from "../api/client";
import { useLoaded } from "../api/loaded";
import { useListOf } from "../api/pages";
import type { RegisteredWebhook, Webhook, WebhookDelivery } from "../api/webhooks";
import { figure, when } from "../format";
import { named, t } from "../i18n";
import { AskedButton } from "../parts/confirm";
import { Facts } from "../parts/facts";
import { MoreButton } from "../parts/more";
import { NewSecret } from "../parts/new_secret";
import { Empty, Refusal, Shown } from "../parts/states";
import { Table } from "../parts/table";
import { WebhookForm } from "../parts/webhook_form";
import { addressOf } from "../routing";
import { WebhookStatus } from "./webhooks";

const RELOAD_SECONDS = 15;
const COLUMNS = [
  ...(["webhook.at", "webhook.event", "webhook.attempt", "webhook.outcome"] as const),
  ...(["webhook.http_status", "webhook.seconds", "webhook.next"] as const),
];

export function WebhookPage({ id }: { id: string }) {
  const path = `/v1/webhooks/${encodeURIComponent(id)}`;
  const webhook = useLoaded<Webhook>(path, RELOAD_SECONDS);
  const deliveries = useListOf<WebhookDelivery>(`${path}/deliveries`, (one, other) => other.at - one.at);
  const [secret, setSecret] = useState("");
  const changed = () => (webhook.reload(), deliveries.reload());
  return (
    <>
      <h1>
        <code>{id}</code>
      </h1>
      {secret && <NewSecret label={t("webhook.secret")} secret={secret} words={t("webhook.rotated")} />}
      <Shown of={webhook}>{(found) => <Found of={found} path={path} changed={changed} rotated={setSecret} />}</Shown>
      <section aria-labelledby="deliveries">
        <h2 id="deliveries">{t("webhook.deliveries")}</h2>
        <Shown of={deliveries}>{(all) => <DeliveryTable deliveries={all} />}</Shown>
        <MoreButton list={deliveries} />
      </section>
    </>
  );
}

interface FoundProps {
  of: Webhook;
  path: string;
  changed: () => void;
  /** Called with the new secret. */
  rotated: (secret: string) => void;
}

function Found({ of, path, changed, rotated }: FoundProps) {
  const facts = [
    [t("webhook.url"), of.url],
    [t("webhook.events"), of.events.join(", ")],
    [t("webhook.created"), when(of.created_at)],
  ] as const;
  return (
    <>
      <p>
        <WebhookStatus of={of} />
      </p>
      <WebhookActions of={of} path={path} changed={changed} rotated={rotated} />
      <Facts facts={facts} />
      <details>
        <summary>{t("webhook.change")}</summary>
        <WebhookForm<Webhook>
          key={`${of.url} ${of.events.join()}`}
          {...{ method: "PATCH", path, call: "webhooks.update", first: of, submit: t("webhook.save"), done: changed }}
        />
      </details>
    </>
  );
}

function WebhookActions({ of, path, changed, rotated }: FoundProps) {
  const [told, setTold] = useState("");
  const [error, setError] = useState<unknown>(null);

  async function act(request: () => Promise<string>) {
    setError(null);
    setTold("");
    try {
      setTold(await request());
    } catch (refused) {
      setError(refused);
    }
    changed();
  }

  const test = async () => {
    const sent = await ask<{ delivery_id: string }>(`${path}/test`, { method: "POST" });
    return t("webhook.tested", { id: sent.delivery_id });
  };
  const toggle = async () => (await ask(path, { method: "PATCH", body: { enabled: !of.enabled } }), "");
  const rotate = async () => rotated((await ask<RegisteredWebhook>(`${path}/rotate`, { method: "POST" })).secret);
  const remove = async () => {
    await ask(path, { method: "DELETE" });
    location.hash = addressOf("webhooks");
  };
  return (
    <div class="actions">
      <button type="button" class="secondary outline small" onClick={() => void act(test)}>
        {t("webhook.test")}
      </button>
      <button type="button" class="secondary outline small" onClick={() => void act(toggle)}>
        {t(of.enabled ? "webhook.disable" : "webhook.enable")}
      </button>
      <AskedButton label={t("webhook.rotate")} question={t("webhook.rotate_asked")} act={rotate} />
      <AskedButton label={t("webhook.delete")} question={t("webhook.delete_asked")} act={remove} />
      <span role="status">{told}</span>
      {error !== null && <Refusal error={error} />}
    </div>
  );
}

function DeliveryTable({ deliveries }: { deliveries: WebhookDelivery[] }) {
  if (deliveries.length === 0) return <Empty words={t("webhook.no_deliveries")} />;
  return (
    <Table labelledBy="deliveries" head={COLUMNS.map((key) => t(key))}>
      {deliveries.map((each) => (
        <tr key={each.id}>
          <td>{when(each.at)}</td>
          <th scope="row">{each.event}</th>
          <td>{each.attempt}</td>
          <td>
            <span class={`status ${each.outcome === "delivered" ? "succeeded" : "failed"}`}>{named("webhook.outcome", each.outcome)}</span>
          </td>
          <td>{each.status}</td>
          <td>{figure(each.seconds)}</td>
          <td>{each.next_at !== null && when(each.next_at)}</td>
        </tr>
      ))}
    </Table>
  );
}
