/** Tables with a column for each of two datasets: rows, lengths, and counts with their shares. */
import type { ComponentChildren } from "preact";
import { COUNTED, PERCENTS, type DatasetComparison, type DatasetSide, type Lengths } from "../api/dataset_comparison";
import { percent, whole } from "../format";
import { named, t, type MessageKey } from "../i18n";
import { addressOf } from "../routing";
import { ComparedTable } from "./compared_tables";

const TITLES: Record<(typeof COUNTED)[number], MessageKey> = {
  unshared: "compare_data.unshared",
  removed: "compare_data.removed",
  languages: "compare_data.languages",
  labels: "compare_data.labels",
  entities: "compare_data.entities",
};
/** Of all rows of a dataset. */
const SHARES: readonly string[] = ["languages", "labels"];

interface TablesProps {
  comparison: DatasetComparison;
  /** Of the datasets. */
  names: readonly string[];
}

export function DatasetFacts({ comparison, names }: TablesProps) {
  const { datasets, rows_common, rows_moved, counts } = comparison;
  const facts: [string, readonly ComponentChildren[]][] = [
    [t("data.id"), datasets.map(({ id }) => <DatasetLink id={id} />)],
    [t("compare.digest"), datasets.map(({ digest }) => <code>{digest.slice(0, 19)}</code>)],
    [t("data.rows"), datasets.map(({ rows }) => whole(rows))],
    [t("compare_data.common"), datasets.map(() => whole(rows_common))],
    [t("compare_data.moved"), ["", whole(rows_moved)]],
    [t("compare_data.alone"), datasets.map(({ rows_unshared }) => whole(rows_unshared))],
    ...counts.map(({ name, values }): [string, string[]] => [name, values.map(whole)]),
  ];
  const above = comparison.same && <p>{t("compare_data.same")}</p>;
  const rows = facts.map(([title, cells]) => ({ key: title, title, cells }));
  return (
    <ComparedTable id="facts" title={t("nav.datasets")} head={t("compare.fact")} names={names} rows={rows} above={above} />
  );
}

function DatasetLink({ id }: { id: string }) {
  return (
    <a href={addressOf("datasets", id)}>
      <code>{id}</code>
    </a>
  );
}

export function RowLengths({ comparison: { datasets }, names }: TablesProps) {
  const lines = (key: MessageKey, of: (side: DatasetSide) => Lengths) =>
    PERCENTS.map((each) => {
      const title = t(key, { percent: each });
      return { key: title, title, cells: datasets.map((side) => whole(of(side)[`p${each}`])) };
    });
  const isSampled = datasets.some(({ rows, rows_measured }) => rows_measured < rows);
  const measured = { title: t("compare_data.measured"), cells: datasets.map(({ rows_measured }) => whole(rows_measured)) };
  const rows = [
    ...lines("compare_data.tokens", ({ tokens }) => tokens),
    ...lines("compare_data.characters", ({ characters }) => characters),
    ...(isSampled ? [{ key: "measured", ...measured }] : []),
  ];
  return <ComparedTable id="lengths" title={t("compare_data.lengths")} head={t("compare.fact")} names={names} rows={rows} />;
}

export function DatasetCounts({ comparison, names }: TablesProps) {
  const all = comparison.datasets.map(({ rows }) => Math.max(rows, 1));
  const cell = (kind: string) => (count: number, n: number) =>
    SHARES.includes(kind) ? `${percent(count / (all[n] ?? 1))} (${whole(count)})` : whole(count);
  const filled = COUNTED.filter((kind) => comparison[kind].length > 0);
  return (
    <>
      {filled.map((kind) => (
        <ComparedTable
          key={kind}
          id={kind}
          title={t(TITLES[kind])}
          head={t("data.count")}
          names={names}
          rows={comparison[kind].map(({ name, values }) => ({
            key: name,
            title: <span class="text">{named(kind, name)}</span>,
            cells: values.map(cell(kind)),
          }))}
        />
      ))}
    </>
  );
}
