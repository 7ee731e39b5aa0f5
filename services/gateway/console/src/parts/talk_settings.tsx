/** Settings of a talk: system prompt, sampling, tools and a schema, the same for each model that is asked. */
import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { JSON_FIELDS, SAMPLING_FIELDS, wrongIn, type JsonField, type SamplingField, type TalkSettings } from "../api/talk_settings";
import { isVersion, type AliasEntry, type ModelList, type Version } from "../api/types";
import { t } from "../i18n";

const MOST_TOKENS = 32_768;
const EXAMPLES: Record<JsonField, string> = {
  tools: `[{"type": "function", "function": {"name": "weather",
  "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]`,
  schema: `{"type": "object", "properties": {"city": {"type": "string"}}}`,
};

interface TalkSettingsProps {
  settings: TalkSettings;
  change: (part: Partial<TalkSettings>) => void;
  /** What is to be said of the probabilities of tokens. */
  note?: ComponentChildren;
  /** Fields that come first. */
  children?: ComponentChildren;
}

export function TalkSettingsForm({ settings, change, note, children }: TalkSettingsProps) {
  const { system, temperature, maxTokens } = settings;
  const wrong = wrongIn(settings);
  return (
    <form onSubmit={(event) => event.preventDefault()}>
      {children}
      <label>
        {t("play.system")}
        <textarea rows={3} value={system} onInput={(event) => change({ system: event.currentTarget.value })} />
      </label>
      <div class="fields">
        <NumberField label={t("play.temperature")} value={temperature} max={2} step={0.1} change={(value) => change({ temperature: value })} />
        <NumberField label={t("play.max_tokens")} value={maxTokens} max={MOST_TOKENS} step={1} change={(value) => change({ maxTokens: value })} />
      </div>
      <details>
        <summary>{t("play.sampling")}</summary>
        {SAMPLING_FIELDS.map((name) => (
          <SamplingTextField
            key={name}
            name={name}
            text={settings[name]}
            isWrong={wrong.includes(name)}
            change={(text) => change({ [name]: text })}
          />
        ))}
      </details>
      <label>
        <input
          type="checkbox"
          role="switch"
          checked={settings.probabilities}
          onChange={(event) => change({ probabilities: event.currentTarget.checked })}
        />
        {t("prob.ask")}
      </label>
      {note}
      <details>
        <summary>{t("play.more")}</summary>
        {JSON_FIELDS.map((name) => (
          <JsonTextField
            key={name}
            name={name}
            text={settings[name]}
            isWrong={wrong.includes(name)}
            change={(text) => change(name === "tools" ? { tools: text } : { schema: text })}
          />
        ))}
      </details>
    </form>
  );
}

interface SamplingTextProps {
  name: SamplingField;
  text: string;
  isWrong: boolean;
  change: (text: string) => void;
}

function SamplingTextField({ name, text, isWrong, change }: SamplingTextProps) {
  const id = useId();
  const shared = {
    ...{ id, spellcheck: false, value: text, "aria-describedby": `${id}-help` },
    ...(isWrong ? { "aria-invalid": "true" as const } : {}),
  };
  return (
    <div class="field">
      <label for={id}>{t(`play.${name}_label`)}</label>
      {name === "stop" ? (
        <textarea {...shared} class="code" rows={2} onInput={(event) => change(event.currentTarget.value)} />
      ) : (
        <input {...shared} inputMode="decimal" onInput={(event) => change(event.currentTarget.value)} />
      )}
      <small id={`${id}-help`} {...(isWrong ? { class: "error" } : {})}>
        {t(`play.${name}_help`)}
      </small>
    </div>
  );
}

interface JsonTextProps {
  name: JsonField;
  text: string;
  isWrong: boolean;
  change: (text: string) => void;
}

function JsonTextField({ name, text, isWrong, change }: JsonTextProps) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{t(`play.${name}`)}</label>
      <textarea
        id={id}
        class="code"
        rows={5}
        spellcheck={false}
        placeholder={EXAMPLES[name]}
        value={text}
        {...(isWrong ? { "aria-invalid": "true" as const, "aria-describedby": `${id}-error` } : {})}
        onInput={(event) => change(event.currentTarget.value)}
      />
      {isWrong && (
        <small id={`${id}-error`} class="error">
          {t(`play.${name}_wrong`)}
        </small>
      )}
    </div>
  );
}

interface NumberProps {
  label: string;
  value: number;
  max: number;
  step: number;
  change: (value: number) => void;
}

function NumberField({ label, value, max, step, change }: NumberProps) {
  return (
    <label>
      {label}
      <input
        type="number"
        min={step === 1 ? 1 : 0}
        max={max}
        step={step}
        value={value}
        onInput={(event) => event.currentTarget.validity.valid && change(event.currentTarget.valueAsNumber)}
      />
    </label>
  );
}

interface ModelSelectProps {
  label: string;
  list: ModelList;
  value: string;
  change: (model: string) => void;
}

export function ModelSelect({ label, list, value, change }: ModelSelectProps) {
  const isListed = list.data.some((each) => each.id === value);
  return (
    <label>
      {label}
      <select value={value} onChange={(event) => change(event.currentTarget.value)}>
        {!isListed && <option value={value}>{value}</option>}
        {list.data.map((each) => (
          <option key={each.id} value={each.id}>
            {nameOf(each)}
          </option>
        ))}
      </select>
    </label>
  );
}

function nameOf(entry: AliasEntry | Version): string {
  return isVersion(entry) ? `${entry.id} (${entry.name}, ${entry.form})` : entry.id;
}
