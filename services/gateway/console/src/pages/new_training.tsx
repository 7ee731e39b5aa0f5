/** A new training: a form of what the API takes, what it would take and the request beside it, and the order. */
import { useApiDocument } from "../api/api_document";
import type { BodyField } from "../api/body_fields";
import type { JsonObject } from "../api/body_values";
import { useLoaded } from "../api/loaded";
import { TRAINABLE_FORMS, TRAININGS, keptOf, orderOf, trainingFields } from "../api/trainings";
import { isVersion, type Dataset, type ModelList, type Page } from "../api/types";
import { whole } from "../format";
import { t } from "../i18n";
import type { Option } from "../parts/body_field";
import { Shown } from "../parts/states";
import { place } from "../routing";
import { OrderForm } from "./order_form";
import { OrderToBegin } from "./order_again";
import { TrainingEstimateBeside } from "./training_estimate";
import { TrainingTexts } from "./training_texts";

const LISTED = 100;

export function NewTrainingPage() {
  const { query } = place.value;
  const [from, model, training_file] = [query.get("from"), query.get("model"), query.get("dataset")];
  return (
    <>
      <h1>{from ? t("train.again") : t("train.title")}</h1>
      <OrderToBegin key={query.toString()} from={from} order={{ model, training_file }} again={orderOf}>
        {(order) => <Described order={order} />}
      </OrderToBegin>
    </>
  );
}

/** The fields are those that the gateway describes: one that is newer than this page is shown, too. */
function Described({ order }: { order: JsonObject }) {
  const described = useApiDocument();
  return <Shown of={described}>{(document) => <TrainingForm fields={trainingFields(document)} order={order} />}</Shown>;
}

function TrainingForm({ fields, order }: { fields: BodyField[]; order: JsonObject }) {
  const choices = useChoices();
  return (
    <OrderForm
      form="train"
      path={TRAININGS}
      fields={fields}
      order={order}
      kept={keptOf(order, fields)}
      options={choices.options}
      submit={t("train.order")}
      beside={(sent, isWrong) => (
        <>
          <DatasetRows dataset={choices.datasets?.find((each) => each.id === sent.training_file)} />
          <TrainingEstimateBeside order={isWrong ? null : sent} />
          <TrainingTexts order={sent} />
        </>
      )}
    />
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
