/** What a training would take, by the API: asked for again a moment after somebody has typed. */
import { useRef } from "preact/hooks";
import type { JsonObject } from "../api/body_values";
import { ask } from "../api/client";
import { useResult } from "../api/loaded";
import { TRAININGS, type TrainingEstimate } from "../api/trainings";
import { passed } from "../api/waiting";
import { bytes, duration, figure, whole } from "../format";
import { t } from "../i18n";
import { Facts } from "../parts/facts";
import { JobLink } from "../parts/job_parts";
import { reasonsIn } from "../parts/states";

const PAUSE = 400;

/** @param order nothing while something of it is missing or wrong: then nobody asks. */
export function EstimateBeside({ order }: { order: JsonObject | null }) {
  const text = order === null ? "" : JSON.stringify(order);
  const { data, error } = useResult(text, (stop) => estimated(text, stop));
  // Until the next one is there, the one before stays: figures that come and go cannot be read.
  const last = useRef<TrainingEstimate | null>(null);
  if (data !== null || error) last.current = data;
  const isLoading = text !== "" && data === null && !error;
  return (
    <section aria-labelledby="estimate">
      <h2 id="estimate">{t("estimate.title")}</h2>
      <div role="status" aria-busy={isLoading}>
        {text === "" ? <p>{t("estimate.needs")}</p> : error ? <Refused error={error} /> : <Estimated estimate={last.current} />}
      </div>
    </section>
  );
}

async function estimated(text: string, stop: AbortSignal): Promise<TrainingEstimate | null> {
  if (text === "") return null;
  await passed(PAUSE, stop);
  stop.throwIfAborted();
  return ask<TrainingEstimate>(`${TRAININGS}/estimate`, { method: "POST", body: JSON.parse(text) as JsonObject, signal: stop });
}

function Refused({ error }: { error: unknown }) {
  return (
    <div class="refusal">
      <p>{t("estimate.refused")}</p>
      {reasonsIn(error).map((reason) => (
        <p key={reason}>{reason}</p>
      ))}
    </div>
  );
}

function Estimated({ estimate }: { estimate: TrainingEstimate | null }) {
  if (estimate === null) return <p>{t("state.loading")}</p>;
  const { seconds, peak_memory_bytes, worker_memory_bytes, waiting_reason, notes } = estimate;
  return (
    <>
      <Facts
        facts={[
          [t("job.tokens"), tokens(estimate)],
          [t("estimate.time"), seconds !== null && t("estimate.about", { time: duration(seconds) })],
          [t("estimate.memory"), t("estimate.of_worker", { memory: bytes(peak_memory_bytes), worker: bytes(worker_memory_bytes) })],
        ]}
      />
      <Basis estimate={estimate} />
      {waiting_reason && <p class="refusal">{t("estimate.waits", { reason: waiting_reason })}</p>}
      {notes.map((note) => (
        <p key={note}>{note}</p>
      ))}
    </>
  );
}

function tokens({ trained_tokens, n_epochs, batch_size, steps }: TrainingEstimate): string {
  if (trained_tokens === null || n_epochs === null || batch_size === null || steps === null) return "";
  const values = { epochs: figure(n_epochs), steps: whole(steps), rows: whole(batch_size) };
  return `${whole(trained_tokens)} (${t("estimate.steps", values)})`;
}

/** What time and memory rest on. */
function Basis({ estimate: { earlier_job_ids } }: { estimate: TrainingEstimate }) {
  if (earlier_job_ids.length === 0) return <p>{t("estimate.by_rule")}</p>;
  return (
    <>
      <p>{t("estimate.by_jobs")}</p>
      <ul>
        {earlier_job_ids.map((id) => (
          <li key={id}>
            <JobLink job={{ id }} />
          </li>
        ))}
      </ul>
    </>
  );
}
