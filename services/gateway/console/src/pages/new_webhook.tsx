/** A new endpoint: its address, the events that it is told of, and its secret, which is shown once. */
import { useState } from "preact/hooks";
import { ask } from "../api/client";
import { EVENT_TYPES, type RegisteredWebhook } from "../api/webhooks";
import { t } from "../i18n";
import { NewSecret } from "../parts/new_secret";
import { SameRequest } from "../parts/same_request";
import { Refusal } from "../parts/states";
import { addressOf } from "../routing";

const WEBHOOKS = "/v1/webhooks";

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
        <WebhookForm key={registered?.id} done={done} />
      </details>
    </>
  );
}

function WebhookForm({ done }: { done: (webhook: RegisteredWebhook) => void }) {
  const [url, setUrl] = useState("");
  const [events, setEvents] = useState<readonly string[]>(EVENT_TYPES);
  const [error, setError] = useState<unknown>(null);
  const toggle = (event: string) => EVENT_TYPES.filter((each) => (each === event) !== events.includes(each));
  const body = { url, events: [...events] };

  async function create(event: Event) {
    event.preventDefault();
    setError(null);
    try {
      done(await ask<RegisteredWebhook>(WEBHOOKS, { method: "POST", body }));
    } catch (refused) {
      setError(refused);
    }
  }

  return (
    <form onSubmit={(event) => void create(event)}>
      <label>
        {t("webhook.url_field")}
        <input type="url" required autocomplete="off" value={url} onInput={(event) => setUrl(event.currentTarget.value)} />
      </label>
      <fieldset>
        <legend>{t("webhook.events")}</legend>
        <div class="fields">
          {EVENT_TYPES.map((event) => (
            <label key={event}>
              <input type="checkbox" checked={events.includes(event)} onChange={() => setEvents(toggle(event))} />
              {event}
            </label>
          ))}
        </div>
      </fieldset>
      {error !== null && <Refusal error={error} />}
      <button type="submit" disabled={events.length === 0}>
        {t("webhook.create")}
      </button>
      <SameRequest method="POST" path={WEBHOOKS} call="webhooks.create" body={{ ...body, url: url || "URL" }} />
    </form>
  );
}
