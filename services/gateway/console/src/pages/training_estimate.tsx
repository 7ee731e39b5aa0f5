/** What a training would take, beside the form that orders it. */
import type { JsonObject } from "../api/body_values";
import { TRAININGS, type TrainingEstimate } from "../api/trainings";
import { bytes, duration, figure, whole } from "../format";
import { t } from "../i18n";
import { Facts } from "../parts/facts";
import { EstimateBeside, EstimateRemarks } from "./order_estimate";

export function TrainingEstimateBeside({ order }: { order: JsonObject | null }) {
  return (
    <EstimateBeside<TrainingEstimate> path={TRAININGS} order={order} needs={t("estimate.needs")}>
      {(estimate) => <Estimated estimate={estimate} />}
    </EstimateBeside>
  );
}

function Estimated({ estimate }: { estimate: TrainingEstimate }) {
  const { seconds, peak_memory_bytes, worker_memory_bytes } = estimate;
  return (
    <>
      <Facts
        facts={[
          [t("job.tokens"), tokens(estimate)],
          [t("estimate.time"), seconds !== null && t("estimate.about", { time: duration(seconds) })],
          [t("estimate.memory"), t("estimate.of_worker", { memory: bytes(peak_memory_bytes), worker: bytes(worker_memory_bytes) })],
        ]}
      />
      <EstimateRemarks of={estimate} byJobs={t("estimate.by_jobs")} without={t("estimate.by_rule")} />
    </>
  );
}

function tokens({ trained_tokens, n_epochs, batch_size, steps }: TrainingEstimate): string {
  if (trained_tokens === null || n_epochs === null || batch_size === null || steps === null) return "";
  const values = { epochs: figure(n_epochs), steps: whole(steps), rows: whole(batch_size) };
  return `${whole(trained_tokens)} (${t("estimate.steps", values)})`;
}
