/** The report of a dataset: rows by stage, what was removed and why, and what the kept ones are like. */
import { useState } from "preact/hooks";
import { send } from "../api/client";
import { fileAndLine, type Counts, type DatasetReport, type RowSample } from "../api/dataset_report";
import { useLoaded } from "../api/loaded";
import type { Dataset } from "../api/types";
import { whole } from "../format";
import { named, t, type MessageKey } from "../i18n";
import { Bar } from "../parts/bar";
import { LongText } from "../parts/long_text";
import { save } from "../parts/save";
import { Refusal, Shown } from "../parts/states";
import { Table } from "../parts/table";
import { addressOf } from "../routing";

/** Of each count; there may be as many labels as rows. */
const MOST_BARS = 20;

export function ReportSection({ dataset }: { dataset: Dataset }) {
  const report = useLoaded<DatasetReport>(`${pathOf(dataset.id)}?format=json`);
  return (
    <section aria-labelledby="report">
      <h2 id="report">{t("report.title")}</h2>
      <ReportButton id={dataset.id} />
      <Shown of={report}>{(of) => <Report of={of} dataset={dataset} />}</Shown>
    </section>
  );
}

function pathOf(id: string): string {
  return `/v1/datasets/${encodeURIComponent(id)}/report`;
}

function Report({ of, dataset }: { of: DatasetReport; dataset: Dataset }) {
  const bars: [MessageKey, Counts][] = [
    ["report.characters", of.characters?.histogram ?? {}],
    ["report.tokens", of.tokens?.histogram ?? {}],
    ["compare_data.languages", of.languages ?? {}],
    ["compare_data.labels", of.choices ?? {}],
    ["report.difficulty", of.difficulty ?? {}],
    ["compare_data.entities", of.entities ?? {}],
    ["report.contaminated", of.contaminated ?? {}],
  ];
  return (
    <>
      <Stages of={of} />
      <RemovedRows of={of} dataset={dataset} />
      {bars.map(([title, counts]) => (
        <CountBars key={title} title={title} counts={counts} />
      ))}
      <Duplicates of={of} dataset={dataset} />
    </>
  );
}

function Stages({ of }: { of: DatasetReport }) {
  const stages = Object.entries(of.stages ?? {});
  if (stages.length === 0) return null;
  return (
    <>
      <h3 id="stages">{t("report.stages")}</h3>
      <Table labelledBy="stages" head={[t("report.stage"), t("report.rows_in"), t("report.changed"), t("report.removed")]}>
        {stages.map(([name, { rows_in, rows_changed, rows_dropped }]) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td>{whole(rows_in)}</td>
            <td>{whole(rows_changed)}</td>
            <td>{whole(rows_dropped)}</td>
          </tr>
        ))}
      </Table>
    </>
  );
}

interface RemovedProps {
  of: DatasetReport;
  dataset: Dataset;
}

function RemovedRows({ of, dataset }: RemovedProps) {
  const rules = Object.entries(of.rules ?? {}).flatMap(([outcome, counts]) =>
    Object.entries(counts).map(([rule, rows]) => ({ outcome, rule, rows })),
  );
  if (rules.length === 0) return null;
  return (
    <>
      <h3 id="removed">{t("compare_data.removed")}</h3>
      <Table labelledBy="removed" head={[t("row.outcome"), t("row.rule"), t("data.rows"), t("report.samples")]}>
        {rules.map(({ outcome, rule, rows }) => (
          <tr key={`${outcome} ${rule}`}>
            <td>{named("row.outcome", outcome)}</td>
            <th scope="row">{rule}</th>
            <td>{whole(rows)}</td>
            <td>
              <Samples rows={of.samples?.[rule] ?? []} dataset={dataset} />
            </td>
          </tr>
        ))}
      </Table>
    </>
  );
}

function Samples({ rows, dataset }: { rows: RowSample[]; dataset: Dataset }) {
  if (rows.length === 0) return null;
  return (
    <details>
      <summary>{t("report.some", { n: whole(rows.length) })}</summary>
      {rows.map(({ line, text, detail }) => (
        <div key={line}>
          <RowLink number={line} dataset={dataset} /> {detail}
          <LongText text={text} />
        </div>
      ))}
    </details>
  );
}

/** To what became of the row. */
function RowLink({ number, dataset }: { number: number; dataset: Dataset }) {
  const [file, line] = fileAndLine(number);
  const query = { line: String(line), file: file ? (dataset.file_ids[file - 1] ?? "") : "" };
  const words = file ? t("row.of_file", { line: whole(line), file }) : t("row.line_n", { line: whole(line) });
  return <a href={addressOf("datasets", dataset.id, query)}>{words}</a>;
}

function CountBars({ title, counts }: { title: MessageKey; counts: Counts }) {
  const all = Object.entries(counts);
  if (all.length === 0) return null;
  const most = Math.max(...all.map(([, rows]) => rows), 1);
  return (
    <>
      <h3 id={title}>{t(title)}</h3>
      <Table labelledBy={title} head={[t("model.value"), t("data.rows"), t("usage.bar", { measure: t("data.rows") })]}>
        {all.slice(0, MOST_BARS).map(([name, rows]) => (
          <tr key={name}>
            <th scope="row" class="text">
              {name}
            </th>
            <td>{whole(rows)}</td>
            <td class="barred">
              <Bar share={rows / most} />
            </td>
          </tr>
        ))}
      </Table>
      {all.length > MOST_BARS && <p>{t("report.more", { n: whole(all.length - MOST_BARS) })}</p>}
    </>
  );
}

function Duplicates({ of, dataset }: RemovedProps) {
  const clusters = of.duplicates ?? [];
  if (clusters.length === 0) return null;
  return (
    <>
      <h3 id="duplicates">{t("report.duplicates")}</h3>
      <Table labelledBy="duplicates" head={[t("report.kept"), t("report.same_rows"), t("report.samples")]}>
        {clusters.slice(0, MOST_BARS).map(({ kept, dropped, dropped_count }) => (
          <tr key={kept}>
            <th scope="row">
              <RowLink number={kept} dataset={dataset} />
            </th>
            <td>{whole(dropped_count)}</td>
            <td>
              {dropped.slice(0, 3).map((number) => (
                <span key={number}>
                  <RowLink number={number} dataset={dataset} />{" "}
                </span>
              ))}
            </td>
          </tr>
        ))}
      </Table>
      {clusters.length > MOST_BARS && <p>{t("report.more", { n: whole(clusters.length - MOST_BARS) })}</p>}
    </>
  );
}

function ReportButton({ id }: { id: string }) {
  const [error, setError] = useState<unknown>(null);

  async function fetchReport() {
    setError(null);
    try {
      const answer = await send(`${pathOf(id)}?format=html`);
      save(`${id}.html`, await answer.blob());
    } catch (refused) {
      setError(refused);
    }
  }

  return (
    <div class="actions">
      <button type="button" class="secondary outline small" onClick={() => void fetchReport()}>
        {t("data.report")}
      </button>
      {error !== null && <Refusal error={error} />}
    </div>
  );
}
