/** Tables with a column for each of what is compared; of jobs: record and data, scores, and settings. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { ComparedDataset, ComparedJob, ComparedSetting, JobComparison } from "../api/job_comparison";
import { duration, when, whole } from "../format";
import { t } from "../i18n";
import { addressOf } from "../routing";
import { JobLink, StatusMark } from "./job_parts";
import { VersionLink } from "./model_parts";
import { Score } from "./score";
import { Table } from "./table";

const SPLITS = ["train", "valid", "test"];

interface ColumnProps {
  id: string;
  title: string;
  /** Of the first column. */
  head: string;
  /** Of what is compared. */
  names: readonly string[];
  rows: readonly { key: string; title: ComponentChildren; cells: readonly ComponentChildren[] }[];
  above?: ComponentChildren;
}

export function ComparedTable({ id, title, head, names, rows, above }: ColumnProps) {
  return (
    <section aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      {above}
      {rows.length > 0 && (
        <Table labelledBy={id} head={[head, ...names]}>
          {rows.map((row) => (
            <tr key={row.key}>
              <th scope="row">{row.title}</th>
              {row.cells.map((cell, n) => (
                <td key={n}>{cell}</td>
              ))}
            </tr>
          ))}
        </Table>
      )}
    </section>
  );
}

export function ComparedFacts({ jobs, names }: { jobs: readonly ComparedJob[]; names: readonly string[] }) {
  const facts: [string, (each: ComparedJob) => ComponentChildren][] = [
    [t("job.id"), ({ job }) => <JobLink job={job} />],
    [t("job.status"), ({ job }) => <StatusMark job={job} />],
    [t("compare.error"), ({ job }) => job.error && <span class="text">{job.error.message}</span>],
    [t("job.created"), ({ job }) => when(job.created_at)],
    [t("job.took"), ({ job }) => (job.cost.work_seconds ? duration(job.cost.work_seconds) : "")],
    [t("job.made"), ({ job }) => job.result?.version_id && <VersionLink id={job.result.version_id} />],
    [t("model.dataset"), ({ dataset }) => dataset && <DatasetName dataset={dataset} />],
    [t("data.rows"), ({ dataset }) => rowsOf(dataset)],
    [t("compare.digest"), ({ dataset }) => dataset?.digest && <code>{dataset.digest.slice(0, 19)}</code>],
  ];
  const rows = facts
    .map(([title, cell]) => ({ key: title, title, cells: jobs.map(cell) }))
    .filter((row) => row.cells.some(Boolean));
  return <ComparedTable id="runs" title={t("compare.runs")} head={t("compare.fact")} names={names} rows={rows} />;
}

function DatasetName({ dataset }: { dataset: ComparedDataset }) {
  const name = dataset.name || dataset.id;
  if (dataset.is_deleted) return <>{t("compare.deleted", { name })}</>;
  return <a href={addressOf("datasets", dataset.id)}>{name}</a>;
}

function rowsOf(dataset: ComparedDataset | null): string {
  const counts = dataset?.counts ?? {};
  return SPLITS.flatMap((split) => (counts[split] === undefined ? [] : `${split} ${whole(counts[split])}`)).join(", ");
}

export function ComparedScores({ scores, names }: Pick<JobComparison, "scores"> & { names: readonly string[] }) {
  const rows = scores.map(({ name, values }) => ({ key: name, title: name, cells: values.map((each) => <Score of={each} />) }));
  const above = rows.length === 0 && <p class="empty">{t("compare.no_scores")}</p>;
  return (
    <ComparedTable id="scores" title={t("compare.scores")} head={t("model.measure")} names={names} rows={rows} above={above} />
  );
}

export function ComparedSettings({ settings, names }: { settings: readonly ComparedSetting[]; names: readonly string[] }) {
  const [areAllShown, showAll] = useState(false);
  const rows = settings
    .filter((each) => areAllShown || each.differs)
    .map((each) => ({ key: each.path, title: <SettingName of={each} />, cells: each.values.map((value) => valueOf(value, each.differs)) }));
  const above = (
    <>
      {!settings.some((each) => each.differs) && <p class="empty">{t("compare.same")}</p>}
      <label>
        <input type="checkbox" checked={areAllShown} onChange={(event) => showAll(event.currentTarget.checked)} />
        {t("compare.all_settings")}
      </label>
    </>
  );
  return (
    <ComparedTable id="settings" title={t("compare.settings")} head={t("compare.setting")} names={names} rows={rows} above={above} />
  );
}

function SettingName({ of }: { of: ComparedSetting }) {
  if (!of.differs) return <>{of.path}</>;
  return (
    <>
      <abbr title={t("compare.differs")}>≠</abbr> {of.path}
    </>
  );
}

function valueOf(value: unknown, differs: boolean): ComponentChildren {
  const words = value === null ? "—" : typeof value === "string" ? value : JSON.stringify(value);
  return differs ? <strong class="text">{words}</strong> : <span class="text">{words}</span>;
}
