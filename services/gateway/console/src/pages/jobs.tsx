/** Jobs of every kind, newest first; trainings are chosen there to be compared. */
import { useState } from "preact/hooks";
import { MOST_COMPARED } from "../api/job_comparison";
import { useLongList } from "../api/pages";
import type { Job } from "../api/types";
import { ago, duration } from "../format";
import { named, t } from "../i18n";
import { addressOf, place } from "../routing";
import { JobLink, StatusMark } from "../parts/job_parts";
import { Empty, Shown } from "../parts/states";
import { Table } from "../parts/table";

const KINDS = ["train", "dataset", "optimize", "evaluate", "batch"];
/** Ordered by forms of their own. */
const NEW_KINDS = ["evaluate", "optimize"] as const;
const COLUMNS = ["job.id", "job.kind", "job.status", "job.created", "job.took", "job.by", "compare.compare"] as const;

export function JobsPage() {
  const kind = place.value.query.get("kind") ?? "";
  const jobs = useLongList<Job>(`/v1/jobs${kind ? `?kind=${encodeURIComponent(kind)}` : ""}`);
  return (
    <>
      <h1 id="jobs">{t("nav.jobs")}</h1>
      <p>
        <a role="button" class="small" href={addressOf("jobs", "new")}>
          {t("train.title")}
        </a>
        {NEW_KINDS.map((each) => (
          <span key={each}>
            {" "}
            <a role="button" class="secondary outline small" href={addressOf("jobs", "new", { kind: each })}>
              {t(`order.${each}`)}
            </a>
          </span>
        ))}
      </p>
      <KindFilter kind={kind} />
      <Shown of={jobs}>{(all) => <JobTable jobs={all} />}</Shown>
      {jobs.hasMore && (
        <button type="button" class="secondary" onClick={jobs.more}>
          {t("list.more")}
        </button>
      )}
    </>
  );
}

function KindFilter({ kind }: { kind: string }) {
  const choose = (event: Event) => {
    location.hash = addressOf("jobs", "", { kind: (event.currentTarget as HTMLSelectElement).value });
  };
  return (
    <select aria-label={t("job.kind")} class="small" value={kind} onChange={choose}>
      <option value="">{t("job.every_kind")}</option>
      {KINDS.map((each) => (
        <option key={each} value={each}>
          {named("kind", each)}
        </option>
      ))}
    </select>
  );
}

function JobTable({ jobs }: { jobs: Job[] }) {
  const [chosen, setChosen] = useState<readonly string[]>([]);
  if (jobs.length === 0) return <Empty words={t("job.none")} command="mill train MODEL DATASET --name NAME" />;
  return (
    <>
      <CompareLink ids={chosen} />
      <JobRows jobs={jobs} chosen={chosen} choose={setChosen} />
    </>
  );
}

function CompareLink({ ids }: { ids: readonly string[] }) {
  if (ids.length === 0) return null;
  if (ids.length === 1) return <p role="status">{t("compare.another")}</p>;
  return (
    <p>
      <a role="button" class="small" href={addressOf("jobs", "compare", { ids: ids.join(",") })}>
        {t("compare.chosen", { n: ids.length })}
      </a>
    </p>
  );
}

interface JobRowsProps {
  jobs: Job[];
  /** Ids of trainings. */
  chosen: readonly string[];
  choose: (chosen: readonly string[]) => void;
}

function JobRows({ jobs, chosen, choose }: JobRowsProps) {
  return (
    <Table labelledBy="jobs" head={COLUMNS.map((key) => t(key))}>
      {jobs.map((job) => (
        <tr key={job.id}>
          <th scope="row">
            <JobLink job={job} />
          </th>
          <td>{named("kind", job.kind)}</td>
          <td>
            <StatusMark job={job} />
          </td>
          <td>{ago(job.created_at)}</td>
          <td>{job.cost.work_seconds ? duration(job.cost.work_seconds) : ""}</td>
          <td>{job.requested_by}</td>
          <td>{job.kind === "train" && <RunBox id={job.id} chosen={chosen} choose={choose} />}</td>
        </tr>
      ))}
    </Table>
  );
}

function RunBox({ id, chosen, choose }: Omit<JobRowsProps, "jobs"> & { id: string }) {
  const isChosen = chosen.includes(id);
  return (
    <input
      type="checkbox"
      aria-label={t("compare.choose_run", { id })}
      checked={isChosen}
      disabled={!isChosen && chosen.length >= MOST_COMPARED}
      onChange={() => choose(isChosen ? chosen.filter((each) => each !== id) : [...chosen, id])}
    />
  );
}
