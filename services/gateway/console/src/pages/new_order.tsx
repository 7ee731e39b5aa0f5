/** A new evaluation or build: a form of what the API takes, and what it would take and the request beside it. */
import type { ComponentChildren } from "preact";
import { useApiDocument } from "../api/api_document";
import type { ApiDocument, BodyField } from "../api/body_fields";
import type { JsonObject } from "../api/body_values";
import { useLoaded } from "../api/loaded";
import {
  BUILDS,
  EVALUATIONS,
  buildAgain,
  buildFields,
  evaluationAgain,
  evaluationFields,
  type BuildEstimate,
  type EvaluationEstimate,
} from "../api/order_estimates";
import { asPython, curlOf } from "../api/request_texts";
import { isVersion, type Dataset, type Job, type ModelList, type Page } from "../api/types";
import type { JobForm } from "../form_words";
import { bytes, duration, whole } from "../format";
import { t } from "../i18n";
import type { Option } from "../parts/body_field";
import { CopiedText } from "../parts/copied_text";
import { Facts } from "../parts/facts";
import { Shown } from "../parts/states";
import { place } from "../routing";
import { OrderToBegin } from "./order_again";
import { OrderForm } from "./order_form";
import { EstimateBeside, EstimateRemarks } from "./order_estimate";

const LISTED = 100;

export function NewEvaluationPage() {
  return (
    <OrderPage<EvaluationEstimate>
      form="evaluate"
      path={EVALUATIONS}
      call="evaluations.create"
      fieldsOf={evaluationFields}
      again={evaluationAgain}
      words={[t("order.evaluate_now"), t("order.evaluate_needs")]}
      isEnough={hasRows}
    >
      {(estimate) => <EvaluationFacts of={estimate} />}
    </OrderPage>
  );
}

export function NewBuildPage() {
  return (
    <OrderPage<BuildEstimate>
      form="optimize"
      path={BUILDS}
      call="optimizations.create"
      fieldsOf={buildFields}
      again={buildAgain}
      words={[t("order.optimize_now"), t("order.optimize_needs")]}
      isEnough={() => true}
    >
      {(estimate) => <BuildFacts of={estimate} />}
    </OrderPage>
  );
}

interface OrderPageProps<T> {
  form: Exclude<JobForm, "train">;
  path: string;
  /** Of the client that the gateway has for programs. */
  call: string;
  fieldsOf: (document: ApiDocument) => BodyField[];
  /** The order that an earlier job was. */
  again: (job: Job) => JsonObject;
  /** What orders, and what is missing while nothing can be estimated. */
  words: readonly [string, string];
  /** Whether there is anything to estimate, of an order of which no field is wrong. */
  isEnough: (order: JsonObject) => boolean;
  /** What an estimate says. */
  children: (estimate: T) => ComponentChildren;
}

type DescribedProps<T> = Omit<OrderPageProps<T>, "again"> & { order: JsonObject };

function OrderPage<T>({ again, ...shown }: OrderPageProps<T>) {
  const { query } = place.value;
  const from = query.get("from");
  return (
    <>
      <h1>{t(`order.${shown.form}${from ? "_again" : ""}`)}</h1>
      <OrderToBegin key={query.toString()} from={from} order={orderOfLink()} again={again}>
        {(order) => <Described {...shown} order={order} />}
      </OrderToBegin>
    </>
  );
}

function Described<T>({ form, path, call, fieldsOf, words, isEnough, children, order }: DescribedProps<T>) {
  const [described, options] = [useApiDocument(), useOptions()];
  const [submit, needs] = words;
  return (
    <Shown of={described}>
      {(document) => (
        <OrderForm
          {...{ form, path, order, options, submit }}
          fields={fieldsOf(document)}
          beside={(sent, isWrong) => (
            <>
              <EstimateBeside<T> path={path} order={!isWrong && isEnough(sent) ? sent : null} needs={needs}>
                {children}
              </EstimateBeside>
              <RequestTexts path={path} call={call} order={sent} />
            </>
          )}
        />
      )}
    </Shown>
  );
}

/** Without rows there is nothing to estimate, which no field alone says. */
function hasRows(order: JsonObject): boolean {
  return Boolean(order.dataset_id ?? order.tasks);
}

function EvaluationFacts({ of }: { of: EvaluationEstimate }) {
  const rows = of.rows === null ? t("order.at_most", { n: whole(of.most_rows) }) : whole(of.rows);
  return (
    <>
      <Facts facts={[[t("order.rows"), rows], timeOf(of.seconds), memoryOf(of)]} />
      <EstimateRemarks of={of} byJobs={t("order.by_jobs")} />
    </>
  );
}

function BuildFacts({ of }: { of: BuildEstimate }) {
  const { target_form, test_rows, built_bytes, most_seconds } = of;
  return (
    <>
      <Facts
        facts={[
          [t("model.form"), target_form ?? t("order.searched")],
          [t("order.size"), built_bytes === null ? t("cap.unknown") : t("estimate.about", { time: bytes(built_bytes) })],
          [t("order.test_rows"), whole(test_rows)],
          timeOf(of.seconds),
          [t("order.most_time"), most_seconds !== null && duration(most_seconds)],
          memoryOf(of),
        ]}
      />
      <EstimateRemarks of={of} byJobs={t("order.by_jobs")} />
    </>
  );
}

function timeOf(seconds: number | null): readonly [string, string] {
  return [t("estimate.time"), seconds === null ? t("cap.unknown") : t("estimate.about", { time: duration(seconds) })];
}

function memoryOf(of: { needed_memory_bytes: number; worker_memory_bytes: number }): readonly [string, string] {
  const words = { memory: bytes(of.needed_memory_bytes), worker: bytes(of.worker_memory_bytes) };
  return [t("estimate.memory"), t("estimate.of_worker", words)];
}

interface RequestProps {
  path: string;
  /** Of the client that the gateway has for programs. */
  call: string;
  order: JsonObject;
}

function RequestTexts({ path, call, order }: RequestProps) {
  // What is still to be chosen has a place in the request.
  const whole = { model: "MODEL", ...order };
  return (
    <section aria-labelledby="request">
      <h2 id="request">{t("train.request")}</h2>
      <details open>
        <summary>curl</summary>
        <CopiedText name="curl" text={curlOf(path, whole)} />
      </details>
      <details>
        <summary>Python</summary>
        <CopiedText name="Python" text={asPython(whole, call)} />
      </details>
    </section>
  );
}

function orderOfLink(): JsonObject {
  const { query } = place.value;
  return { model: query.get("model"), dataset_id: query.get("dataset") };
}

/** What there is to choose from, by the paths of fields. */
function useOptions(): Record<string, Option[] | undefined> {
  const list = useLoaded<ModelList>("/v1/models").data?.data;
  const found = useLoaded<Page<Dataset>>(`/v1/datasets?limit=${LISTED}`).data?.data;
  const models = list?.map((each) => ({ value: each.id, label: isVersion(each) ? `${each.name} (${each.form}, ${each.id})` : each.id }));
  const datasets = found
    ?.filter((each) => each.status !== "failed" && each.status !== "cancelled")
    .map((each) => ({ value: each.id, label: each.name ? `${each.name} (${each.id})` : each.id }));
  return { model: models, compare_to: models, dataset_id: datasets };
}
