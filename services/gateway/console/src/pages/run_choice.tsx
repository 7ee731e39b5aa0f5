/** Trainings that may be added to a comparison; asked for once somebody wants to. */
import { useState } from "preact/hooks";
import { useLoaded } from "../api/loaded";
import type { Job, Page } from "../api/types";
import { ago } from "../format";
import { named, t } from "../i18n";
import { Empty, Shown } from "../parts/states";
import { addressOf } from "../routing";

const LISTED = 100;

interface RunChoiceProps {
  /** Those that are compared already. */
  ids: readonly string[];
  /** Whether there are too few to compare. */
  isNeeded: boolean;
  add: (id: string) => void;
}

export function RunChoice({ ids, isNeeded, add }: RunChoiceProps) {
  const [isOpen, open] = useState(false);
  if (!isNeeded && !isOpen) {
    return (
      <button type="button" class="secondary outline small" onClick={() => open(true)}>
        {t("compare.add")}
      </button>
    );
  }
  return (
    <>
      {isNeeded && <p>{t("compare.choose")}</p>}
      <Trainings ids={ids} add={(id) => (open(false), add(id))} />
    </>
  );
}

function Trainings({ ids, add }: Pick<RunChoiceProps, "ids" | "add">) {
  const jobs = useLoaded<Page<Job>>(`/v1/jobs?kind=train&limit=${LISTED}`);
  return <Shown of={jobs}>{({ data }) => <Choice jobs={data} ids={ids} add={add} />}</Shown>;
}

function Choice({ jobs, ids, add }: Pick<RunChoiceProps, "ids" | "add"> & { jobs: readonly Job[] }) {
  const others = jobs.filter((job) => !ids.includes(job.id));
  if (others.length === 0) {
    return (
      <>
        <Empty words={t("compare.none")} command="mill train MODEL DATASET --name NAME" />
        <p>
          <a href={addressOf("jobs", "new")}>{t("train.title")}</a>
        </p>
      </>
    );
  }
  return (
    <select aria-label={t("compare.add")} value="" onChange={(event) => add(event.currentTarget.value)}>
      <option value="">{t("compare.add")}</option>
      {others.map((job) => (
        <option key={job.id} value={job.id}>
          {[job.spec.name, named("status", job.status), ago(job.created_at), job.id].filter(Boolean).join(" · ")}
        </option>
      ))}
    </select>
  );
}
