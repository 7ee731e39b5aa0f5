/** Datasets, newest first, and those that are being made. */
import { useLongList } from "../api/pages";
import type { Dataset } from "../api/types";
import { ago, whole } from "../format";
import { named, t } from "../i18n";
import { MoreButton } from "../parts/more";
import { Empty, Shown } from "../parts/states";
import { Table } from "../parts/table";
import { addressOf } from "../routing";
import { FilesSection } from "./files";

const COLUMNS = ["data.id", "data.name", "data.status", "data.rows", "data.created"] as const;

export function DatasetsPage() {
  const datasets = useLongList<Dataset>("/v1/datasets");
  return (
    <>
      <h1 id="datasets">{t("nav.datasets")}</h1>
      <p>
        <a role="button" class="small" href={addressOf("datasets", "new")}>
          {t("data.new")}
        </a>
      </p>
      <Shown of={datasets}>{(all) => <DatasetTable datasets={all} />}</Shown>
      <MoreButton list={datasets} />
      <FilesSection />
    </>
  );
}

function DatasetTable({ datasets }: { datasets: Dataset[] }) {
  if (datasets.length === 0) return <Empty words={t("data.none")} command="mill data create FILE" />;
  return (
    <Table labelledBy="datasets" head={COLUMNS.map((key) => t(key))}>
      {datasets.map((dataset) => (
        <tr key={dataset.id}>
          <th scope="row">
            <a href={addressOf("datasets", dataset.id)}>
              <code>{dataset.id}</code>
            </a>
          </th>
          <td>{dataset.name}</td>
          <td>
            <span class={`status ${dataset.status}`}>{named("status", dataset.status)}</span>
          </td>
          <td>{dataset.counts.rows_kept === undefined ? "" : whole(dataset.counts.rows_kept)}</td>
          <td>{ago(dataset.created_at)}</td>
        </tr>
      ))}
    </Table>
  );
}
