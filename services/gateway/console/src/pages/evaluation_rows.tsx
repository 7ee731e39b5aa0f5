/** Rows of an evaluation: question, reference, what each model said, and filters that the address has. */
import { useEffect, useState } from "preact/hooks";
import {
  filterOf,
  rowOrder,
  rowsPath,
  type EvaluationAnswer,
  type EvaluationReport,
  type EvaluationRow,
  type EvaluationSummary,
  type RowFilter,
} from "../api/evaluations";
import { useListOf } from "../api/pages";
import type { Job } from "../api/types";
import { figure } from "../format";
import { t } from "../i18n";
import { LongText } from "../parts/long_text";
import { MoreButton } from "../parts/more";
import { Empty, Shown } from "../parts/states";
import { Table } from "../parts/table";
import { addressOf, place } from "../routing";

const PAGE_ROWS = 50;
const NEVER = 0;
const KEEP_PROMPTS = "mill eval run MODEL --dataset DATASET --set with_prompts=true";

interface EvaluationRowsProps {
  job: Job;
  summary: EvaluationSummary;
  /** With the groups of slices; null without any. */
  report: EvaluationReport | null;
}

export function EvaluationRows({ job, summary, report }: EvaluationRowsProps) {
  const filter = filterOf(place.value.query);
  const choose = (chosen: RowFilter) => (location.hash = addressOf("jobs", job.id, chosen));
  // What was measured never changes.
  const rows = useListOf<EvaluationRow>(rowsPath(job.id, filter, PAGE_ROWS), rowOrder, NEVER);
  return (
    <section aria-labelledby="rows">
      <h2 id="rows">{t("eval.rows")}</h2>
      <FilterForm filter={filter} choose={choose} summary={summary} report={report} />
      <Shown of={rows}>{(found) => <RowTable rows={found} summary={summary} isFiltered={Object.keys(filter).length > 0} />}</Shown>
      <MoreButton list={rows} />
    </section>
  );
}

interface FilterProps {
  filter: RowFilter;
  choose: (filter: RowFilter) => void;
}

function FilterForm({ filter, choose, summary, report }: FilterProps & Omit<EvaluationRowsProps, "job">) {
  const [text, setText] = useState("");
  useEffect(() => setText(filter.text ?? ""), [filter.text]);
  const submit = (event: Event) => (event.preventDefault(), choose({ ...filter, text }));
  return (
    <form class="actions" role="search" onSubmit={submit}>
      <Flag name="wrong" label={t("eval.only_wrong")} filter={filter} choose={choose} />
      {summary.models.compare_to && <Flag name="differs" label={t("eval.only_differs")} filter={filter} choose={choose} />}
      <SuiteChoice names={Object.keys(summary.suites)} filter={filter} choose={choose} />
      {report && <GroupChoice report={report} filter={filter} choose={choose} />}
      <label class="inline">
        {t("eval.text")} <input type="search" class="small" maxLength={1000} value={text} onInput={(event) => setText(event.currentTarget.value)} />
      </label>
      <button type="submit" class="secondary outline small">
        {t("eval.find")}
      </button>
      {Object.keys(filter).length > 0 && (
        <button type="button" class="secondary outline small" onClick={() => choose({})}>
          {t("eval.all_rows")}
        </button>
      )}
    </form>
  );
}

function Flag({ name, label, filter, choose }: FilterProps & { name: "wrong" | "differs"; label: string }) {
  const isOn = filter[name] === "true";
  return (
    <label>
      <input type="checkbox" checked={isOn} onChange={() => choose({ ...filter, [name]: isOn ? "" : "true" })} />
      {label}
    </label>
  );
}

function SuiteChoice({ names, filter, choose }: FilterProps & { names: readonly string[] }) {
  if (names.length < 2) return null;
  return (
    <select
      aria-label={t("eval.suite")}
      class="small"
      value={filter.suite ?? ""}
      onChange={(event) => choose({ ...filter, suite: event.currentTarget.value })}
    >
      <option value="">{t("eval.every_suite")}</option>
      {names.map((name) => (
        <option key={name} value={name}>
          {name}
        </option>
      ))}
    </select>
  );
}

function GroupChoice({ report, filter, choose }: FilterProps & { report: EvaluationReport }) {
  const slices = report.suites.flatMap((suite) => Object.entries(suite.slices));
  const groups = slices.flatMap(([by, found]) => Object.keys(found).map((label) => JSON.stringify([by, label])));
  const chosen = filter.slice_by ? JSON.stringify([filter.slice_by, filter.slice_value ?? ""]) : "";
  const take = (value: string) => {
    const [slice_by, slice_value] = value ? (JSON.parse(value) as [string, string]) : ["", ""];
    choose({ ...filter, slice_by, slice_value });
  };
  return (
    <select aria-label={t("eval.group")} class="small" value={chosen} onChange={(event) => take(event.currentTarget.value)}>
      <option value="">{t("eval.every_group")}</option>
      {[...new Set(groups)].map((group) => (
        <option key={group} value={group}>
          {(JSON.parse(group) as string[]).join(" = ")}
        </option>
      ))}
    </select>
  );
}

interface RowTableProps {
  rows: readonly EvaluationRow[];
  summary: EvaluationSummary;
  isFiltered: boolean;
}

function RowTable({ rows, summary: { models, suites }, isFiltered }: RowTableProps) {
  if (rows.length === 0) return <p class="empty">{t(isFiltered ? "eval.no_match" : "eval.no_rows")}</p>;
  const hasPrompts = rows.some((row) => row.prompt !== null);
  const asked = [models.model, models.compare_to].flatMap((model) => (model ? [t("eval.answer_of", { model: model.asked })] : []));
  const head = [t("eval.row"), ...(hasPrompts ? [t("eval.question")] : []), t("eval.reference"), ...unlike(asked)];
  return (
    <>
      {!hasPrompts && <Empty words={t("eval.no_prompts")} command={KEEP_PROMPTS} />}
      <Table labelledBy="rows" head={head}>
        {rows.map((row) => (
          <tr key={row.id}>
            <th scope="row">{Object.keys(suites).length > 1 ? `${row.suite} ${row.row}` : row.row}</th>
            {hasPrompts && <td>{row.prompt !== null && <LongText text={row.prompt} />}</td>}
            <td>
              <LongText text={row.reference} />
            </td>
            <td>
              <Answer of={row.model} />
            </td>
            {models.compare_to && <td>{row.compare_to && <Answer of={row.compare_to} />}</td>}
          </tr>
        ))}
      </Table>
    </>
  );
}

/** Both may be asked by one name. */
function unlike(titles: string[]): string[] {
  return titles.map((title, n) => (titles.indexOf(title) === n ? title : `${title} (${n + 1})`));
}

function Answer({ of: { answer, chosen, scores, is_right } }: { of: EvaluationAnswer }) {
  const said = [chosen, answer].filter((each, n, all) => each !== null && all.indexOf(each) === n);
  const told = Object.entries(scores).map(([name, score]) => `${name} ${figure(score)}`);
  return (
    <>
      {said.map((text, n) => (
        <LongText key={n} text={text ?? ""} />
      ))}
      {is_right !== null && (
        <span class={`status ${is_right ? "succeeded" : "failed"}`}>{t(is_right ? "eval.right" : "eval.wrong")}</span>
      )}{" "}
      <small>{told.join(", ")}</small>
    </>
  );
}
