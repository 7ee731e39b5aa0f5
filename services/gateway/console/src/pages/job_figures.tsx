/** Charts of a job's figures, of all its steps or of some, and every point as a file. */
import { useState } from "preact/hooks";
import { send } from "../api/client";
import type { JobHistory } from "../api/job_history";
import { useJobFigures, type StepRange } from "../api/job_metrics";
import { t, type MessageKey } from "../i18n";
import { Chart } from "../parts/chart";
import { RangeForm } from "../parts/range_form";
import { save } from "../parts/save";
import { Refusal } from "../parts/states";

interface Group {
  title: MessageKey;
  names: readonly string[];
}

const GROUPS: readonly Group[] = [
  { title: "chart.loss", names: ["loss", "valid_loss"] },
  { title: "chart.rate", names: ["learning_rate"] },
  { title: "chart.speed", names: ["tokens_per_second"] },
  { title: "chart.gradient", names: ["grad_norm"] },
];
const GROUPED = new Set(GROUPS.flatMap((group) => group.names));

export function JobFigures({ jobId, history }: { jobId: string; history: JobHistory }) {
  const [range, setRange] = useState<StepRange | null>(null);
  const [areOthersShown, showOthers] = useState(false);
  const { figures, error, isComplete } = useJobFigures(jobId, range, history);
  if (figures.size === 0 && range === null) return error ? <Refusal error={error} /> : null;
  const others = [...figures.keys()].filter((name) => !GROUPED.has(name));
  return (
    <section aria-labelledby="figures">
      <h2 id="figures">{t("job.figures")}</h2>
      {error !== null && <Refusal error={error} />}
      {!isComplete && <p role="status">{t("job.figures_missing")}</p>}
      <RangeForm key={JSON.stringify(range)} range={range} choose={setRange} />
      {figures.size === 0 && <p class="empty">{t("chart.none")}</p>}
      <div class="charts">
        {GROUPS.map(({ title, names }) => {
          const there = names.filter((name) => figures.has(name));
          if (there.length === 0) return null;
          return <Chart key={title} title={t(title)} names={there} figures={figures} choose={setRange} />;
        })}
        {areOthersShown &&
          others.map((name) => <Chart key={name} title={name} names={[name]} figures={figures} choose={setRange} />)}
      </div>
      <div class="actions">
        {others.length > 0 && !areOthersShown && (
          <button type="button" class="secondary outline small" onClick={() => showOthers(true)}>
            {t("job.more_figures")}
          </button>
        )}
        <CsvButton jobId={jobId} />
      </div>
    </section>
  );
}

function CsvButton({ jobId }: { jobId: string }) {
  const [error, setError] = useState<unknown>(null);

  async function fetchAll() {
    setError(null);
    try {
      const answer = await send(`/v1/jobs/${encodeURIComponent(jobId)}/metrics?format=csv`);
      save(`${jobId}.csv`, await answer.blob());
    } catch (refused) {
      setError(refused);
    }
  }

  return (
    <>
      <button type="button" class="secondary outline small" onClick={() => void fetchAll()}>
        {t("job.csv")}
      </button>
      {error !== null && <Refusal error={error} />}
    </>
  );
}
