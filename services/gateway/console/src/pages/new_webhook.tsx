/** A new endpoint: its address, the events that it is told of, and its secret, which is shown once. */
import { useState } from "preact/hooks";
import type { RegisteredWebhook } from "../api/webhooks";
import { t } from "../i18n";
import { NewSecret } from "../parts/new_secret";
import { WebhookForm } from "../parts/webhook_form";
import { addressOf } from "../routing";

export function NewWebhook({ made }: { made: () => void }) {
  const [registered, setRegistered] = useState<RegisteredWebhook | null>(null);
  const done = (webhook: RegisteredWebhook) => (setRegistered(webhook), made());
  return (
    <>
      {registered && (
        <>
          <NewSecret label={t("webhook.secret")} secret={registered.secret} words={t("webhook.made")} />
          <p>
            <a href={addressOf("webhooks", registered.id)}>{registered.url}</a>
          </p>
        </>
      )}
      <details>
        <summary>{t("webhook.new")}</summary>
        <WebhookForm<RegisteredWebhook>
          key={registered?.id}
          {...{ method: "POST", path: "/v1/webhooks", call: "webhooks.create", submit: t("webhook.create"), done }}
        />
      </details>
    </>
  );
}
