/** One job: how far it is, its charts and log as they come, and what one can do with it. */
import { useState } from "preact/hooks";
import { ask } from "../api/client";
import { useJobHistory, type JobHistory } from "../api/job_history";
import { useLoaded } from "../api/loaded";
import { UNENDED, type Job } from "../api/types";
import { duration, when, whole } from "../format";
import { named, t } from "../i18n";
import { ConfirmedButton } from "../parts/confirm";
import { Facts } from "../parts/facts";
import { FailureText, JobProgress, StatusMark } from "../parts/job_parts";
import { VersionLink } from "../parts/model_parts";
import { Refusal, Shown } from "../parts/states";
import { addressOf } from "../routing";
import { Checkpoints } from "./checkpoints";
import { EvaluationFindings } from "./evaluation";
import { SearchCandidates } from "./form_comparison";
import { JobFigures } from "./job_figures";
import { JobLog } from "./job_log";

const RELOAD_SECONDS = 15;
/** Kinds that a form orders. */
const AGAIN = ["train", "evaluate", "optimize"];

export function JobPage({ id }: { id: string }) {
  const path = `/v1/jobs/${encodeURIComponent(id)}`;
  const job = useLoaded<Job>(path, RELOAD_SECONDS);
  // What was told of the past is in the record already, as a rule; what is not comes with the next.
  const history = useJobHistory(id, (status) => job.data && job.data.status !== status && job.reload());
  return (
    <>
      <h1>
        <code>{id}</code>
      </h1>
      <Shown of={job}>
        {(found) => (
          <>
            <JobHead job={current(found, history)} changed={job.reload} />
            <EvaluationFindings job={found} />
            <SearchCandidates job={found} />
          </>
        )}
      </Shown>
      {history.error !== null && <Refusal error={history.error} />}
      {job.data && job.data.kind !== "evaluate" && <JobFigures jobId={id} history={history} />}
      {job.data && <Checkpoints job={job.data} />}
      <JobLog history={history} />
    </>
  );
}

/** The job with its latest progress; a stream begins with the past, which the record may be ahead of. */
function current(job: Job, { progress }: JobHistory): Job {
  const isNewer = progress !== null && progress.at >= (job.progress?.at ?? 0);
  return isNewer && job.status === "running" ? { ...job, progress } : job;
}

function JobHead({ job, changed }: { job: Job; changed: () => void }) {
  return (
    <>
      <p>
        <strong>{named("kind", job.kind)}</strong> <StatusMark job={job} />
      </p>
      <JobActions job={job} changed={changed} />
      <JobProgress job={job} />
      {job.error && <FailureText failure={job.error} />}
      <JobFacts job={job} />
      <details>
        <summary>{t("job.order")}</summary>
        <pre tabIndex={0}>{JSON.stringify(job.spec, null, 2)}</pre>
      </details>
    </>
  );
}

function JobFacts({ job }: { job: Job }) {
  const made = job.result?.version_id;
  const facts = [
    [t("job.by"), job.requested_by],
    [t("job.created"), when(job.created_at)],
    [t("job.started"), job.started_at && when(job.started_at)],
    [t("job.finished"), job.finished_at && when(job.finished_at)],
    [t("job.took"), job.cost.work_seconds ? duration(job.cost.work_seconds) : ""],
    [t("job.attempts"), job.cost.attempts ? whole(job.cost.attempts) : ""],
    [t("job.checkpoint"), job.checkpoint_step && whole(job.checkpoint_step)],
    [t("job.tokens"), job.cost.trained_tokens && whole(job.cost.trained_tokens)],
    [t("job.made"), made && <VersionLink id={made} />],
  ] as const;
  return <Facts facts={facts} />;
}

function JobActions({ job, changed }: { job: Job; changed: () => void }) {
  const [error, setError] = useState<unknown>(null);
  const isUnended = UNENDED.includes(job.status);

  async function steer(action: "pause" | "resume" | "cancel") {
    setError(null);
    try {
      await ask<Job>(`/v1/jobs/${encodeURIComponent(job.id)}/${action}`, { method: "POST" });
    } catch (refused) {
      setError(refused);
    }
    changed();
  }

  return (
    <div class="actions">
      {job.status === "running" && job.desired_state === "run" && (
        <button type="button" class="secondary outline small" onClick={() => void steer("pause")}>
          {t("job.pause")}
        </button>
      )}
      {(job.status === "paused" || job.status === "failed") && (
        <button type="button" class="secondary outline small" onClick={() => void steer("resume")}>
          {t("job.resume")}
        </button>
      )}
      {isUnended && job.desired_state !== "cancel" && (
        <ConfirmedButton label={t("job.cancel")} question={t("job.cancel_asked")} act={() => void steer("cancel")} />
      )}
      {AGAIN.includes(job.kind) && !isUnended && (
        <a role="button" class="small" href={addressOf("jobs", "new", { kind: job.kind, from: job.id })}>
          {t("job.again")}
        </a>
      )}
      {job.kind === "train" && (
        <a role="button" class="secondary outline small" href={addressOf("jobs", "compare", { ids: job.id })}>
          {t("compare.with")}
        </a>
      )}
      {error !== null && <Refusal error={error} />}
    </div>
  );
}
