/** Two datasets side by side: their rows, lengths, labels and settings, and rows that one alone has. */
import { useDatasetComparison, useUnsharedRows, type DatasetComparison, type DatasetSide, type UnsharedRow } from "../api/dataset_comparison";
import { named, t } from "../i18n";
import { ComparedSettings } from "../parts/compared_tables";
import { DatasetCounts, DatasetFacts, RowLengths } from "../parts/dataset_tables";
import { MoreButton } from "../parts/more";
import { RowText } from "../parts/row_text";
import { Shown } from "../parts/states";
import { Table } from "../parts/table";
import { addressOf, place } from "../routing";
import { DatasetChoice } from "./dataset_choice";

const COMPARED = 2;
const LETTERS = ["A", "B"];

export function DatasetComparisonPage() {
  const asked = (place.value.query.get("ids") ?? "").split(",").filter(Boolean);
  const ids = [...new Set(asked)].slice(0, COMPARED);
  const [id, other] = ids;
  const choose = (chosen: readonly string[]) => (location.hash = addressOf("datasets", "compare", { ids: chosen.join(",") }));
  return (
    <>
      <h1>{t("compare_data.title")}</h1>
      <ul class="plain">
        {ids.map((each, n) => (
          <li key={each} class="actions">
            <strong>{LETTERS[n]}</strong> <code>{each}</code>
            <button
              type="button"
              class="secondary outline small"
              aria-label={t("compare.drop_run", { id: each })}
              onClick={() => choose(ids.filter((it) => it !== each))}
            >
              {t("compare.drop")}
            </button>
          </li>
        ))}
      </ul>
      {ids.length < COMPARED && <DatasetChoice ids={ids} add={(chosen) => choose([...ids, chosen])} />}
      {id && other && <Compared key={ids.join(" ")} id={id} other={other} />}
    </>
  );
}

function Compared({ id, other }: { id: string; other: string }) {
  const comparison = useDatasetComparison(id, other);
  return <Shown of={comparison}>{(found) => <SideBySide comparison={found} />}</Shown>;
}

function SideBySide({ comparison }: { comparison: DatasetComparison }) {
  const names = comparison.datasets.map(nameOf);
  const [first, second] = comparison.datasets;
  return (
    <>
      <DatasetFacts comparison={comparison} names={names} />
      <RowLengths comparison={comparison} names={names} />
      <DatasetCounts comparison={comparison} names={names} />
      <ComparedSettings settings={comparison.settings} names={names} />
      {first && second && (
        <>
          <RowsAlone side={first} other={second} names={names} />
          <RowsAlone side={second} other={first} names={[...names].reverse()} />
        </>
      )}
    </>
  );
}

/** Names may be alike: the letter tells them apart. */
function nameOf({ name }: DatasetSide, n: number): string {
  return [LETTERS[n], name].filter(Boolean).join(" · ");
}

interface AloneProps {
  side: DatasetSide;
  other: DatasetSide;
  /** Of this side, then of the other. */
  names: readonly string[];
}

function RowsAlone({ side, other, names }: AloneProps) {
  const id = `alone-${side.id}`;
  const [name = "", others = ""] = names;
  return (
    <section aria-labelledby={id}>
      <h2 id={id}>{t("compare_data.rows_of", { name })}</h2>
      {side.rows_unshared === 0 ? <p class="empty">{t("compare_data.no_rows")}</p> : <RowList id={id} side={side} other={other} others={others} />}
    </section>
  );
}

function RowList({ id, side, other, others }: Omit<AloneProps, "names"> & { id: string; others: string }) {
  const rows = useUnsharedRows(side.id, other.id);
  return (
    <>
      <Shown of={rows}>{(found) => <RowTable id={id} rows={found} others={others} />}</Shown>
      <MoreButton list={rows} />
    </>
  );
}

function RowTable({ id, rows, others }: { id: string; rows: readonly UnsharedRow[]; others: string }) {
  const head = [t("compare_data.because", { name: others }), t("new_data.row"), t("compare_data.other_row", { name: others })];
  return (
    <Table labelledBy={id} head={head}>
      {rows.map((each) => (
        <tr key={each.id}>
          <th scope="row">{named("unshared", each.because)}</th>
          <td>
            <RowText row={each.row} />
          </td>
          <td>{each.other_row && <RowText row={each.other_row} />}</td>
        </tr>
      ))}
    </Table>
  );
}
