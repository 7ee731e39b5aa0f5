/** Parts that show a job alike on every page: its state, how far it is, and why it failed. */
import { UNENDED, type Failure, type Job, type Progress } from "../api/types";
import { duration, percent, whole } from "../format";
import { named, t } from "../i18n";
import { addressOf } from "../routing";

export function JobLink({ job }: { job: Pick<Job, "id"> }) {
  return (
    <a href={addressOf("jobs", job.id)}>
      <code>{job.id}</code>
    </a>
  );
}

export function StatusMark({ job }: { job: Job }) {
  const wanted = { run: job.status, pause: "paused", cancel: "cancelled" }[job.desired_state];
  const isChanging = job.desired_state !== "run" && job.status !== wanted && !job.finished_at;
  return (
    <span class={`status ${job.status}`}>
      {named("status", job.status)}
      {isChanging && ` → ${named("status", wanted)}`}
    </span>
  );
}

/** How far a job is; of one that waits, when its turn comes. One that has ended goes nowhere. */
export function JobProgress({ job }: { job: Job }) {
  if (job.status === "queued") return <p>{waiting(job)}</p>;
  if (job.progress === null || !UNENDED.includes(job.status)) return null;
  return <ProgressBar progress={job.progress} label={`${named("kind", job.kind)} ${job.id}`} />;
}

function waiting(job: Job): string {
  if (job.waiting_reason) return job.waiting_reason;
  return job.queue_position ? t("job.position", { n: job.queue_position }) : t("job.waits");
}

function ProgressBar({ progress, label }: { progress: Progress; label: string }) {
  const { done, total, unit, phase, eta_seconds } = progress;
  const share = total ? done / total : null;
  const count = share === null ? done > 0 && `${whole(done)} ${unit}` : `${whole(done)}/${whole(total)} ${unit} · ${percent(share)}`;
  return (
    <div>
      <progress aria-label={label} max={1} {...(share === null ? {} : { value: share })} />
      <small>
        {phase}
        {count && ` · ${count}`}
        {eta_seconds !== null && ` · ${t("job.left", { time: duration(eta_seconds) })}`}
      </small>
    </div>
  );
}

/** Cause and remedy. The log's end quotes data, so it is folded away until somebody asks. */
export function FailureText({ failure }: { failure: Failure }) {
  return (
    <div class="failure">
      <p>{failure.message}</p>
      {failure.remedy && (
        <p>
          <strong>{t("job.remedy")}</strong> {failure.remedy}
        </p>
      )}
      {failure.log_tail && (
        <details>
          <summary>{t("job.log_tail")}</summary>
          <pre tabIndex={0}>{failure.log_tail}</pre>
        </details>
      )}
    </div>
  );
}
