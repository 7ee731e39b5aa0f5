/** A new tenant, by its name, whose page then sets its limits. */
import { useId, useState } from "preact/hooks";
import { ask } from "../api/client";
import type { Tenant } from "../api/tenants";
import { t } from "../i18n";
import { SameRequest } from "../parts/same_request";
import { Refusal } from "../parts/states";
import { addressOf } from "../routing";

const TENANTS = "/v1/tenants";
/** What tokens may say. */
const NAME = "[a-z0-9][a-z0-9\\-]{0,62}";

export function NewTenant() {
  const [name, setName] = useState("");
  const [error, setError] = useState<unknown>(null);
  const id = useId();

  async function create(event: Event) {
    event.preventDefault();
    setError(null);
    try {
      const made = await ask<Tenant>(TENANTS, { method: "POST", body: { name } });
      location.hash = addressOf("tenants", made.id);
    } catch (refused) {
      setError(refused);
    }
  }

  return (
    <details>
      <summary>{t("tenant.new")}</summary>
      <form onSubmit={(event) => void create(event)}>
        <div class="field">
          <label for={id}>{t("tenant.name_field")}</label>
          <input
            id={id}
            required
            pattern={NAME}
            autocomplete="off"
            spellcheck={false}
            aria-describedby={`${id}-help`}
            value={name}
            onInput={(event) => setName(event.currentTarget.value)}
          />
          <small id={`${id}-help`}>{t("tenant.name_help")}</small>
        </div>
        {error !== null && <Refusal error={error} />}
        <button type="submit">{t("tenant.create")}</button>
        <SameRequest method="POST" path={TENANTS} call="tenants.create" body={{ name: name || "NAME" }} />
      </form>
    </details>
  );
}
