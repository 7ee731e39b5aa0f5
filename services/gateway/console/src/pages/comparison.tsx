/** Trainings side by side: what was asked, on which data, what came of it, and their losses in one chart. */
import { useState } from "preact/hooks";
import { MOST_COMPARED, linesOf, useComparison, type ComparedJob, type JobComparison } from "../api/job_comparison";
import type { StepRange } from "../api/job_metrics";
import { t } from "../i18n";
import { Chart } from "../parts/chart";
import { ComparedFacts, ComparedScores, ComparedSettings } from "../parts/compared_tables";
import { JobLink } from "../parts/job_parts";
import { RangeForm } from "../parts/range_form";
import { Shown } from "../parts/states";
import { addressOf, place } from "../routing";
import { RunChoice } from "./run_choice";

const LEAST = 2;
const CHARTS = [
  ["chart.loss", "loss"],
  ["chart.valid_loss", "valid_loss"],
] as const;

export function ComparisonPage() {
  const asked = (place.value.query.get("ids") ?? "").split(",").filter(Boolean);
  const ids = [...new Set(asked)].slice(0, MOST_COMPARED);
  return (
    <>
      <h1>{t("compare.title")}</h1>
      <RunList ids={ids} />
      {ids.length > 0 && <Compared key={ids.join(" ")} ids={ids} />}
    </>
  );
}

/** What is compared, also where it cannot be loaded, and what might be. */
function RunList({ ids }: { ids: readonly string[] }) {
  const choose = (chosen: readonly string[]) => (location.hash = addressOf("jobs", "compare", { ids: chosen.join(",") }));
  return (
    <>
      <ul class="plain">
        {ids.map((id, n) => (
          <li key={id} class="actions">
            <strong>{letterOf(n)}</strong> <JobLink job={{ id }} />
            <button
              type="button"
              class="secondary outline small"
              aria-label={t("compare.drop_run", { id })}
              onClick={() => choose(ids.filter((each) => each !== id))}
            >
              {t("compare.drop")}
            </button>
          </li>
        ))}
      </ul>
      {ids.length < MOST_COMPARED && (
        <RunChoice isNeeded={ids.length < LEAST} ids={ids} add={(id) => choose([...ids, id])} />
      )}
    </>
  );
}

function Compared({ ids }: { ids: readonly string[] }) {
  const [range, choose] = useState<StepRange | null>(null);
  const comparison = useComparison(ids, range);
  return <Shown of={comparison}>{(found) => <SideBySide comparison={found} range={range} choose={choose} />}</Shown>;
}

interface RangeProps {
  range: StepRange | null;
  choose: (range: StepRange | null) => void;
}

function SideBySide({ comparison, range, choose }: RangeProps & { comparison: JobComparison }) {
  const names = comparison.jobs.map(nameOf);
  return (
    <>
      <ComparedFacts jobs={comparison.jobs} names={names} />
      <Losses jobs={comparison.jobs} names={names} range={range} choose={choose} />
      <ComparedScores scores={comparison.scores} names={names} />
      <ComparedSettings settings={comparison.settings} names={names} />
    </>
  );
}

function letterOf(n: number): string {
  return String.fromCharCode("A".charCodeAt(0) + n);
}

/** Names may be alike: the letter tells them apart. */
function nameOf({ job }: ComparedJob, n: number): string {
  const name = job.spec.name;
  return typeof name === "string" && name ? `${letterOf(n)} · ${name}` : letterOf(n);
}

interface LossesProps extends RangeProps {
  jobs: readonly ComparedJob[];
  names: readonly string[];
}

function Losses({ jobs, names, range, choose }: LossesProps) {
  const charts = CHARTS.map(([title, metric]) => ({ title, figures: linesOf(metric, jobs, names) }));
  const drawn = charts.filter(({ figures }) => figures.size > 0);
  const missing = jobs.flatMap(({ is_complete }, n) => (is_complete ? [] : [letterOf(n)]));
  return (
    <section aria-labelledby="losses">
      <h2 id="losses">{t("compare.losses")}</h2>
      {missing.length > 0 && <p role="status">{t("compare.figures_missing", { runs: missing.join(", ") })}</p>}
      {drawn.length === 0 && <p class="empty">{t(range === null ? "compare.no_losses" : "chart.none")}</p>}
      {(drawn.length > 0 || range !== null) && <RangeForm key={JSON.stringify(range)} range={range} choose={choose} />}
      {drawn.map(({ title, figures }) => (
        <Chart key={title} title={t(title)} names={[...figures.keys()]} figures={figures} choose={choose} />
      ))}
    </section>
  );
}
