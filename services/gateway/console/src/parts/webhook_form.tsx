/** A form of an endpoint: its address, and the events that it is told of. */
import { useState } from "preact/hooks";
import { ask } from "../api/client";
import { EVENT_TYPES, type Webhook } from "../api/webhooks";
import { t } from "../i18n";
import { SameRequest } from "./same_request";
import { Refusal } from "./states";

interface WebhookFormProps<T> {
  method: "POST" | "PATCH";
  path: string;
  /** Of the client that the gateway has for programs. */
  call: string;
  /** What the fields begin with. */
  first?: Pick<Webhook, "url" | "events">;
  submit: string;
  done: (answer: T) => void;
}

export function WebhookForm<T>({ method, path, call, first, submit, done }: WebhookFormProps<T>) {
  const [url, setUrl] = useState(first?.url ?? "");
  const [events, setEvents] = useState<readonly string[]>(first?.events ?? EVENT_TYPES);
  const [error, setError] = useState<unknown>(null);
  const toggle = (event: string) => EVENT_TYPES.filter((each) => (each === event) !== events.includes(each));
  const body = { url, events: [...events] };

  async function send(event: Event) {
    event.preventDefault();
    setError(null);
    try {
      done(await ask<T>(path, { method, body }));
    } catch (refused) {
      setError(refused);
    }
  }

  return (
    <form onSubmit={(event) => void send(event)}>
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
        {submit}
      </button>
      <SameRequest method={method} path={path} call={call} body={{ ...body, url: url || "URL" }} />
    </form>
  );
}
