/** A new training: a form of what the API takes, what it would take and the request beside it, and the order. */
import { useEffect, useRef, useState } from "preact/hooks";
import { useApiDocument } from "../api/api_document";
import { applies, type BodyField, type Values } from "../api/body_fields";
import { filled, placed, valuesOf, type JsonObject, type Placed } from "../api/body_values";
import { ApiError, ask } from "../api/client";
import { useLoaded } from "../api/loaded";
import { useOrderKey } from "../api/order_key";
import { TRAINABLE_FORMS, TRAININGS, keptOf, orderOf, trainingFields, type TrainingJob } from "../api/trainings";
import { isVersion, type Dataset, type ModelList, type Page } from "../api/types";
import { whole } from "../format";
import { named, t } from "../i18n";
import { BodyFieldInput, type Option } from "../parts/body_field";
import { Refusal, Shown } from "../parts/states";
import { addressOf, place } from "../routing";
import { EstimateBeside } from "./training_estimate";
import { TrainingTexts } from "./training_texts";

const LISTED = 100;
const NOTHING: Placed = { errors: {}, others: [] };
/** Groups of fields that are shown at once. */
const OPEN = ["", "hyperparameters"];

export function NewTrainingPage() {
  const { query } = place.value;
  const [from, model, training_file] = [query.get("from"), query.get("model"), query.get("dataset")];
  return (
    <>
      <h1>{from ? t("train.again") : t("train.title")}</h1>
      {from ? <Again key={from} jobId={from} /> : <Described key={query.toString()} order={{ model, training_file }} />}
    </>
  );
}

/** As a job was ordered. */
function Again({ jobId }: { jobId: string }) {
  const job = useLoaded<TrainingJob>(`/v1/jobs/${encodeURIComponent(jobId)}`);
  return <Shown of={job}>{(found) => <Described order={orderOf(found)} />}</Shown>;
}

/** The fields are those that the gateway describes: one that is newer than this page is shown, too. */
function Described({ order }: { order: JsonObject }) {
  const described = useApiDocument();
  return <Shown of={described}>{(document) => <TrainingForm fields={trainingFields(document)} order={order} />}</Shown>;
}

function TrainingForm({ fields, order }: { fields: BodyField[]; order: JsonObject }) {
  const [values, setValues] = useState<Values>(() => valuesOf(order));
  const training = useOrder();
  const choices = useChoices();
  const form = useRef<HTMLFormElement>(null);
  const { body, errors } = filled(fields, values);
  const sent = { ...body, ...keptOf(order, fields) };
  const shownErrors = { ...training.refused.errors, ...(training.tries ? errors : said(errors, values)) };

  // Whoever has ordered goes on at what is wrong.
  useEffect(() => {
    if (training.tries) form.current?.querySelector<HTMLElement>("[aria-invalid]")?.focus();
  }, [training.tries]);

  function change(path: string, text: string) {
    setValues((old) => ({ ...old, [path]: text }));
    training.forget(path);
  }

  const groups = [...new Set(fields.map((field) => field.group))].map((group) => (
    <FieldGroup key={group} name={group} fields={fields} values={values} errors={shownErrors} options={choices.options} change={change} />
  ));
  return (
    <div class="beside">
      <form ref={form} noValidate onSubmit={(event) => (event.preventDefault(), void training.order(sent, errors, fields))}>
        {groups}
        <button type="submit" aria-busy={training.isSending} disabled={training.isSending}>
          {t("train.order")}
        </button>
        <Reasons of={training} />
      </form>
      <div class="aside">
        <DatasetRows dataset={choices.datasets?.find((each) => each.id === values.training_file)} />
        <EstimateBeside order={Object.keys(errors).length > 0 ? null : sent} />
        <TrainingTexts order={sent} />
      </div>
    </div>
  );
}

/** A field that nobody has come to yet is not wrong. */
function said(errors: Record<string, string>, values: Values): Record<string, string> {
  return Object.fromEntries(Object.entries(errors).filter(([path]) => values[path]?.trim()));
}

interface GroupProps {
  name: string;
  fields: readonly BodyField[];
  values: Values;
  errors: Record<string, string>;
  options: Record<string, Option[] | undefined>;
  change: (path: string, text: string) => void;
}

function FieldGroup({ name, fields, values, errors, options, change }: GroupProps) {
  const own = fields.filter((field) => field.group === name && applies(field, values, fields));
  const isOpen = useRef(OPEN.includes(name));
  // Once open it stays so: what somebody corrects must not fold away.
  isOpen.current ||= own.some((field) => values[field.path] || errors[field.path]);
  if (own.length === 0) return null;
  return (
    <details open={isOpen.current}>
      <summary>{named("train.group", name || "first")}</summary>
      <div class="fields">
        {own.map((field) => (
          <BodyFieldInput
            key={field.path}
            field={field}
            value={values[field.path] ?? ""}
            error={errors[field.path] ?? ""}
            options={options[field.path]}
            change={(text) => change(field.path, text)}
          />
        ))}
      </div>
    </details>
  );
}

/** Why an order was refused, as far as no field says it. */
function Reasons({ of: { refused, error } }: { of: Ordering }) {
  if (error === null || Object.keys(refused.errors).length === 0) return error === null ? null : <Refusal error={error} />;
  if (refused.others.length === 0) return null;
  return (
    <div role="alert" class="refusal">
      {refused.others.map((reason) => (
        <p key={reason}>{reason}</p>
      ))}
    </div>
  );
}

function DatasetRows({ dataset }: { dataset: Dataset | undefined }) {
  const { train, valid, test } = dataset?.counts ?? {};
  if (train === undefined) return null;
  return <p>{t("train.rows", { train: whole(train), valid: whole(valid ?? 0), test: whole(test ?? 0) })}</p>;
}

interface Choices {
  datasets: Dataset[] | undefined;
  /** By the paths of fields; undefined while they are not known, or may not be. */
  options: Record<string, Option[] | undefined>;
}

function useChoices(): Choices {
  const models = useLoaded<ModelList>("/v1/models").data?.data.filter(isVersion);
  const datasets = useLoaded<Page<Dataset>>(`/v1/datasets?limit=${LISTED}`).data?.data;
  const trainable = models
    ?.filter((each) => TRAINABLE_FORMS.includes(each.form))
    .map((each) => ({ value: each.id, label: `${each.name} (${each.form}, ${each.id})` }));
  const rows = datasets
    ?.filter((each) => each.status !== "failed" && each.status !== "cancelled")
    .map((each) => ({ value: each.id, label: each.name ? `${each.name} (${each.id})` : each.id }));
  return { datasets, options: { model: trainable, teacher: trainable, training_file: rows, validation_file: rows } };
}

interface Ordering {
  isSending: boolean;
  /** How often something wrong was to be ordered. */
  tries: number;
  refused: Placed;
  error: unknown;
  order: (body: JsonObject, errors: Record<string, string>, fields: readonly BodyField[]) => Promise<void>;
  /** What was refused of a field is no longer so once it has changed. */
  forget: (path: string) => void;
}

function useOrder(): Ordering {
  const [isSending, setSending] = useState(false);
  const [tries, setTries] = useState(0);
  const [{ refused, error }, setRefusal] = useState<{ refused: Placed; error: unknown }>({ refused: NOTHING, error: null });
  const keyOf = useOrderKey();

  async function order(body: JsonObject, errors: Record<string, string>, fields: readonly BodyField[]) {
    setRefusal({ refused: NOTHING, error: null });
    if (Object.keys(errors).length > 0) return setTries((old) => old + 1);
    setSending(true);
    try {
      const headers = { "idempotency-key": keyOf(JSON.stringify(body)) };
      const job = await ask<{ id: string }>(TRAININGS, { method: "POST", body, headers });
      location.hash = addressOf("jobs", job.id);
    } catch (reason) {
      setRefusal({ refused: reason instanceof ApiError ? placed(reasonsOf(reason), fields) : NOTHING, error: reason });
      setTries((old) => old + 1);
    }
    setSending(false);
  }

  function forget(path: string) {
    const { [path]: _, ...errors } = refused.errors;
    const isLeft = Object.keys(errors).length + refused.others.length > 0;
    setRefusal({ refused: { ...refused, errors }, error: isLeft ? error : null });
  }

  return { isSending, tries, refused, error, order, forget };
}

function reasonsOf({ errors, message }: ApiError): string[] {
  return errors.length > 0 ? errors : [message];
}
