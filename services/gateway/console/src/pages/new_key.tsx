/** A new API key: what it may do, how much and until when; its secret is shown once and kept nowhere. */
import { useState } from "preact/hooks";
import type { JsonObject } from "../api/body_values";
import { ask } from "../api/client";
import { grantableScopes, type IssuedApiKey } from "../api/keys";
import { NO_LIMITS, limitsBody, type WrittenLimits } from "../api/limits";
import { t } from "../i18n";
import { CopyField } from "../parts/copy_field";
import { LimitFields } from "../parts/limits";
import { SameRequest } from "../parts/same_request";
import { Refusal, Shown } from "../parts/states";
import { addressOf } from "../routing";

const DAY_SECONDS = 86_400;
const DAYS = [7, 30, 90, 365];
const USUAL_DAYS = 90;
const USUAL_SCOPES = ["chat", "models:read"];
const MOST_CHARACTERS = 100;

export function NewKeyPage() {
  const [made, setMade] = useState<IssuedApiKey | null>(null);
  return (
    <>
      <h1>{t("key.new")}</h1>
      {made ? (
        <Made of={made} />
      ) : (
        <Shown of={grantableScopes()}>{(own) => <KeyForm scopes={own} made={setMade} />}</Shown>
      )}
    </>
  );
}

function Made({ of }: { of: IssuedApiKey }) {
  return (
    <>
      <p role="status">{t("key.made", { name: of.name })}</p>
      <CopyField label={t("key.secret")} value={of.key} />
      <p>
        <a href={addressOf("keys")}>{t("key.all")}</a>
      </p>
    </>
  );
}

interface Wanted {
  name: string;
  scopes: readonly string[];
  models: string;
  /** Empty for a key that does not expire. */
  days: string;
  limits: WrittenLimits;
}

function bodyOf({ name, scopes, models, days, limits }: Wanted): JsonObject {
  const named = models.split(/[,\n]/).map((each) => each.trim()).filter(Boolean);
  const limited = limitsBody(limits);
  return {
    ...{ name, scopes: [...scopes] },
    ...(named.length ? { models: named } : {}),
    ...(days ? { expires_in_seconds: Number(days) * DAY_SECONDS } : {}),
    ...(Object.keys(limited).length ? { limits: { ...limited } } : {}),
  };
}

function KeyForm({ scopes, made }: { scopes: readonly string[]; made: (key: IssuedApiKey) => void }) {
  const usual = scopes.filter((scope) => USUAL_SCOPES.includes(scope));
  const [wanted, setWanted] = useState<Wanted>({ name: "", scopes: usual, models: "", days: String(USUAL_DAYS), limits: NO_LIMITS });
  const [isAsking, setAsking] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const change = (part: Partial<Wanted>) => setWanted({ ...wanted, ...part });

  async function create(event: Event) {
    event.preventDefault();
    setAsking(true);
    setError(null);
    try {
      made(await ask<IssuedApiKey>("/v1/keys", { method: "POST", body: bodyOf(wanted) }));
    } catch (refused) {
      setError(refused);
    } finally {
      setAsking(false);
    }
  }

  return (
    <form onSubmit={(event) => void create(event)}>
      <label>
        {t("key.name")}
        <input required maxLength={MOST_CHARACTERS} value={wanted.name} onInput={(event) => change({ name: event.currentTarget.value })} />
      </label>
      <ScopeFields scopes={scopes} chosen={wanted.scopes} choose={(chosen) => change({ scopes: chosen })} />
      <label>
        {t("key.models_field")}
        <input value={wanted.models} onInput={(event) => change({ models: event.currentTarget.value })} />
      </label>
      <label>
        {t("key.expires")}
        <select value={wanted.days} onChange={(event) => change({ days: event.currentTarget.value })}>
          {DAYS.map((days) => (
            <option key={days} value={days}>
              {t("key.in_days", { days })}
            </option>
          ))}
          <option value="">{t("key.never")}</option>
        </select>
      </label>
      <LimitFields written={wanted.limits} change={(limits) => change({ limits })} />
      {error !== null && <Refusal error={error} />}
      <button type="submit" aria-busy={isAsking} disabled={isAsking}>
        {t("key.create")}
      </button>
      <SameRequest method="POST" path="/v1/keys" call="keys.create" body={bodyOf(wanted)} />
    </form>
  );
}

interface ScopeFieldsProps {
  scopes: readonly string[];
  chosen: readonly string[];
  choose: (chosen: readonly string[]) => void;
}

function ScopeFields({ scopes, chosen, choose }: ScopeFieldsProps) {
  const toggle = (scope: string) => (chosen.includes(scope) ? chosen.filter((each) => each !== scope) : [...chosen, scope]);
  return (
    <fieldset>
      <legend>{t("key.scopes_field")}</legend>
      <div class="fields">
        {scopes.map((scope) => (
          <label key={scope}>
            <input type="checkbox" checked={chosen.includes(scope)} onChange={() => choose(toggle(scope))} />
            {scope}
          </label>
        ))}
      </div>
    </fieldset>
  );
}
