/** What became of a source row: kept, changed or dropped, by which steps, and every row made from it. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { RowProvenance } from "../api/dataset_report";
import { useLoaded } from "../api/loaded";
import type { Dataset } from "../api/types";
import { whole } from "../format";
import { named, t } from "../i18n";
import { RowText } from "../parts/row_text";
import { Shown } from "../parts/states";
import { Table } from "../parts/table";
import { addressOf, place } from "../routing";

const COLUMNS = ["row.outcome", "row.rule", "row.changes", "row.made_by", "row.split", "row.now"] as const;

/** The row stands in the address, so that a link shows it. */
export function RowSection({ dataset }: { dataset: Dataset }) {
  const { query } = place.value;
  const [line, file] = [query.get("line") ?? "", query.get("file") ?? ""];
  const section = useRef<HTMLElement>(null);
  useEffect(() => {
    if (line) section.current?.scrollIntoView();
  }, [line, file]);
  return (
    <section ref={section} aria-labelledby="row">
      <h2 id="row">{t("row.title")}</h2>
      <RowForm key={`${line} ${file}`} dataset={dataset} line={line} file={file} />
      {line && <Explained id={dataset.id} line={line} file={file} />}
    </section>
  );
}

interface RowFormProps {
  dataset: Dataset;
  line: string;
  file: string;
}

function RowForm({ dataset, line, file }: RowFormProps) {
  const [written, setWritten] = useState(line);
  const [chosen, setChosen] = useState(file || (dataset.file_ids[0] ?? ""));
  const isOfSeveral = dataset.file_ids.length > 1;

  function show(event: Event) {
    event.preventDefault();
    location.hash = addressOf("datasets", dataset.id, { line: written, file: isOfSeveral ? chosen : "" });
  }

  return (
    <form class="actions" onSubmit={show}>
      {isOfSeveral && (
        <label class="inline">
          {t("row.file")}
          <select class="small" value={chosen} onChange={(event) => setChosen(event.currentTarget.value)}>
            {dataset.file_ids.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
      )}
      <label class="inline">
        {t("row.line")}
        <input type="number" class="small" required min={1} step={1} value={written} onInput={(event) => setWritten(event.currentTarget.value)} />
      </label>
      <button type="submit" class="secondary outline small">
        {t("row.show")}
      </button>
    </form>
  );
}

function Explained({ id, line, file }: { id: string; line: string; file: string }) {
  const of = file ? `?file_id=${encodeURIComponent(file)}` : "";
  const path = `/v1/datasets/${encodeURIComponent(id)}/rows/${encodeURIComponent(line)}${of}`;
  const found = useLoaded<{ provenance: RowProvenance[] }>(path);
  return <Shown of={found}>{({ provenance }) => <ProvenanceTable rows={provenance} />}</Shown>;
}

function ProvenanceTable({ rows }: { rows: RowProvenance[] }) {
  return (
    <Table labelledBy="row" head={COLUMNS.map((key) => t(key))}>
      {rows.map((each, n) => (
        <tr key={n}>
          <th scope="row">{named("row.outcome", each.outcome)}</th>
          <td>{[each.rule, each.detail].filter(Boolean).join(": ")}</td>
          <td>{each.changes.join(", ")}</td>
          <td>{each.made_by ?? t("row.as_given")}</td>
          <td>{placeOf(each)}</td>
          <td>{each.row && <RowText row={each.row} />}</td>
        </tr>
      ))}
    </Table>
  );
}

function placeOf({ split, position }: RowProvenance): string {
  return split && position !== null ? t("row.place", { split, n: whole(position + 1) }) : "";
}
