/** What an evaluation found, on its job's page: figures with intervals, protections, groups, and rows. */
import { ask } from "../api/client";
import { SIDES, hasSlices, summaryOf, type EvaluationReport, type EvaluationSummary, type Measured, type MeasuredGroup } from "../api/evaluations";
import { useResult } from "../api/loaded";
import type { Job } from "../api/types";
import { percent, whole } from "../format";
import { t } from "../i18n";
import { VersionLink } from "../parts/model_parts";
import { Facts } from "../parts/facts";
import { Score } from "../parts/score";
import { Refusal } from "../parts/states";
import { Table } from "../parts/table";
import { EvaluationRows } from "./evaluation_rows";

export function EvaluationFindings({ job }: { job: Job }) {
  const summary = summaryOf(job);
  return summary && <Findings job={job} summary={summary} />;
}

function Findings({ job, summary }: { job: Job; summary: EvaluationSummary }) {
  const path = hasSlices(job) ? `/v1/evaluations/${encodeURIComponent(job.id)}/report?format=json` : "";
  const report = useResult(path, (stop) => (path ? ask<EvaluationReport>(path, { signal: stop }) : Promise.resolve(null)));
  return (
    <>
      <Results summary={summary} />
      <Protections summary={summary} />
      {report.error !== null && <Refusal error={report.error} />}
      {report.data && <Groups report={report.data} summary={summary} />}
      <EvaluationRows job={job} summary={summary} report={report.data} />
    </>
  );
}

function Results({ summary }: { summary: EvaluationSummary }) {
  const { suite, models } = summary;
  const facts = SIDES.map((side) => [models[side]?.asked ?? "", models[side] && <VersionLink id={models[side].version_id} />] as const);
  return (
    <section aria-labelledby="results">
      <h2 id="results">{t("eval.results")}</h2>
      <Facts facts={facts} />
      {Object.entries(summary.suites).map(([name, group], n) => (
        <section key={name} aria-labelledby={`suite_${n}`}>
          <h3 id={`suite_${n}`}>{t("eval.suite_rows", { name, rows: whole(group.rows) })}</h3>
          <FigureTable labelledBy={`suite_${n}`} head={t("model.measure")} summary={summary} rows={shownOf(group)} />
        </section>
      ))}
      {suite && <Mean suite={suite} summary={summary} />}
    </section>
  );
}

function shownOf({ measures, shown }: MeasuredGroup): [string, Measured][] {
  // Evaluations of before name none, and show all.
  return (shown?.length ? shown : Object.keys(measures)).flatMap((name) => (measures[name] ? [[name, measures[name]]] : []));
}

interface MeanProps {
  suite: NonNullable<EvaluationSummary["suite"]>;
  summary: EvaluationSummary;
}

function Mean({ suite, summary }: MeanProps) {
  const title = t("eval.mean", { name: suite.name, n: Object.keys(suite.metrics).length });
  return (
    <section aria-labelledby="mean">
      <h3 id="mean">{title}</h3>
      {suite.without_mean && <p>{suite.without_mean}</p>}
      {Object.keys(suite.mean).length > 0 && (
        <FigureTable labelledBy="mean" head={t("model.measure")} summary={summary} rows={[[suite.name, suite.mean]]} />
      )}
    </section>
  );
}

interface FigureTableProps {
  labelledBy: string;
  /** Of the first column. */
  head: string;
  summary: EvaluationSummary;
  rows: readonly (readonly [string, Measured])[];
}

function FigureTable({ labelledBy, head, summary, rows }: FigureTableProps) {
  const { model, compare_to } = summary.models;
  const beside = compare_to ? [t("eval.beside", { model: compare_to.asked }), t("eval.difference"), t("eval.shares")] : [];
  return (
    <Table labelledBy={labelledBy} head={[head, model?.asked ?? "", ...beside]}>
      {rows.map(([name, measured]) => (
        <tr key={name}>
          <th scope="row">{name}</th>
          <td>
            <Score of={measured.model ?? null} />
          </td>
          {compare_to && <Beside measured={measured} />}
        </tr>
      ))}
    </Table>
  );
}

function Beside({ measured: { compare_to, comparison } }: { measured: Measured }) {
  const shares = comparison && [comparison.won, comparison.tied, comparison.lost].map(percent).join(" / ");
  return (
    <>
      <td>
        <Score of={compare_to ?? null} />
      </td>
      <td>
        <Score of={comparison?.difference ?? null} />{" "}
        {comparison && <small>{t(comparison.is_clear ? "eval.clear" : "eval.unclear")}</small>}
      </td>
      <td>{shares}</td>
    </>
  );
}

function Protections({ summary: { protections } }: { summary: EvaluationSummary }) {
  if (protections.length === 0) return null;
  return (
    <section aria-labelledby="protections">
      <h2 id="protections">{t("eval.protections")}</h2>
      <Table labelledBy="protections" head={[t("model.measure"), t("eval.verdict")]}>
        {protections.map(({ suite, measure, slice_by, slice_value, passed, why }, n) => (
          <tr key={n}>
            <th scope="row">{[suite, measure, slice_by && `${slice_by} = ${slice_value}`].filter(Boolean).join(" · ")}</th>
            <td>
              <span class={`status ${passed ? "succeeded" : "failed"}`}>
                {passed ? t("eval.holds") : t("eval.fails", { why })}
              </span>
            </td>
          </tr>
        ))}
      </Table>
    </section>
  );
}

/** Of each group the first measure that is shown: what a person compares groups by. */
function Groups({ report, summary }: { report: EvaluationReport; summary: EvaluationSummary }) {
  const tables = report.suites.flatMap(({ name, shown, slices }) =>
    Object.entries(slices).map(([by, groups]) => ({ suite: name, by, groups, shown })),
  );
  return (
    <section aria-labelledby="groups">
      <h2 id="groups">{t("eval.groups")}</h2>
      {tables.map(({ suite, by, groups, shown }, n) => (
        <section key={n} aria-labelledby={`group_${n}`}>
          <h3 id={`group_${n}`}>{t("eval.groups_by", { suite, by, measure: firstOf(groups, shown) })}</h3>
          <FigureTable labelledBy={`group_${n}`} head={t("eval.group")} summary={summary} rows={figuresOf(groups, shown)} />
        </section>
      ))}
    </section>
  );
}

function firstOf(groups: Record<string, MeasuredGroup>, shown: string[] | undefined): string {
  return shown?.[0] ?? Object.keys(Object.values(groups)[0]?.measures ?? {})[0] ?? "";
}

function figuresOf(groups: Record<string, MeasuredGroup>, shown: string[] | undefined): [string, Measured][] {
  const first = firstOf(groups, shown);
  return Object.entries(groups).map(([label, { rows, measures }]) => [`${label} (${whole(rows)})`, measures[first] ?? {}]);
}
