/** One dataset: what went in, what was kept, why it failed, what became of a row, and its report. */
import { ask } from "../api/client";
import { useLoaded } from "../api/loaded";
import type { Dataset } from "../api/types";
import { when, whole } from "../format";
import { named, t } from "../i18n";
import { AskedButton } from "../parts/confirm";
import { Facts } from "../parts/facts";
import { FailureText, JobLink } from "../parts/job_parts";
import { Shown } from "../parts/states";
import { Table } from "../parts/table";
import { addressOf } from "../routing";
import { ReportSection } from "./dataset_report";
import { RowSection } from "./row_provenance";

const RELOAD_SECONDS = 15;

export function DatasetPage({ id }: { id: string }) {
  const dataset = useLoaded<Dataset>(`/v1/datasets/${encodeURIComponent(id)}`, RELOAD_SECONDS);
  return (
    <>
      <h1>
        <code>{id}</code>
      </h1>
      <Shown of={dataset}>{(found) => <Found dataset={found} />}</Shown>
    </>
  );
}

function Found({ dataset }: { dataset: Dataset }) {
  const facts = [
    [t("data.name"), dataset.name],
    [t("data.status"), named("status", dataset.status)],
    [t("data.created"), when(dataset.created_at)],
    [t("data.files"), dataset.file_ids.join(", ")],
    [t("model.job"), dataset.job_id && <JobLink job={{ id: dataset.job_id }} />],
  ] as const;
  return (
    <>
      {dataset.error && <FailureText failure={dataset.error} />}
      <Facts facts={facts} />
      <Counts counts={dataset.counts} />
      {dataset.status === "ready" && (
        <p>
          <a role="button" class="small" href={addressOf("jobs", "new", { dataset: dataset.id })}>
            {t("data.train")}
          </a>{" "}
          <a role="button" class="secondary outline small" href={addressOf("datasets", "compare", { ids: dataset.id })}>
            {t("compare.with")}
          </a>
        </p>
      )}
      {dataset.status === "ready" && <RowSection dataset={dataset} />}
      {dataset.status === "ready" && <ReportSection dataset={dataset} />}
      {dataset.status === "ready" && <DeleteDataset id={dataset.id} />}
    </>
  );
}

function DeleteDataset({ id }: { id: string }) {
  async function remove() {
    await ask(`/v1/datasets/${encodeURIComponent(id)}`, { method: "DELETE" });
    location.hash = addressOf("datasets");
  }
  return (
    <div class="actions">
      <AskedButton label={t("data.delete")} question={t("data.delete_asked", { id })} act={remove} />
    </div>
  );
}

/** What is counted, as rows pass; anything else comes after these, by its name. */
const COUNTED = ["rows_in", "rows_quarantined", "rows_dropped", "rows_duplicate", "rows_made", "rows_kept", "train", "valid", "test"];

function byPassage([one]: [string, number], [other]: [string, number]): number {
  return placeOf(one) - placeOf(other) || one.localeCompare(other);
}

function placeOf(name: string): number {
  const place = COUNTED.indexOf(name);
  return place < 0 ? COUNTED.length : place;
}

function Counts({ counts }: { counts: Dataset["counts"] }) {
  const all = Object.entries(counts).sort(byPassage);
  if (all.length === 0) return null;
  return (
    <section aria-labelledby="counts">
      <h2 id="counts">{t("data.counts")}</h2>
      <Table labelledBy="counts" head={[t("data.count"), t("data.rows")]}>
        {all.map(([name, value]) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td>{whole(value)}</td>
          </tr>
        ))}
      </Table>
    </section>
  );
}
