/** Charts of a job's figures, and all of them as a file. */
import { useState } from "preact/hooks";
import type { Figures, JobHistory } from "../api/job_history";
import { t, type MessageKey } from "../i18n";
import { Chart, columnsOf } from "../parts/chart";
import { save } from "../parts/save";

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
  const { figures } = history;
  const [areOthersShown, showOthers] = useState(false);
  if (figures.size === 0) return null;
  const others = [...figures.keys()].filter((name) => !GROUPED.has(name));
  return (
    <section aria-labelledby="figures">
      <h2 id="figures">{t("job.figures")}</h2>
      <div class="charts">
        {GROUPS.map(({ title, names }) => {
          const there = names.filter((name) => figures.has(name));
          return there.length > 0 && <Chart key={title} title={t(title)} names={there} figures={figures} />;
        })}
        {areOthersShown && others.map((name) => <Chart key={name} title={name} names={[name]} figures={figures} />)}
      </div>
      <div class="actions">
        {others.length > 0 && !areOthersShown && (
          <button type="button" class="secondary outline small" onClick={() => showOthers(true)}>
            {t("job.more_figures")}
          </button>
        )}
        <button type="button" class="secondary outline small" onClick={() => save(`${jobId}.csv`, asCsv(figures))}>
          {t("job.csv")}
        </button>
      </div>
    </section>
  );
}

function asCsv(figures: Figures): Blob {
  const names = [...figures.keys()].sort();
  const columns = columnsOf(names, figures);
  const rows = columns[0].map((_, n) => columns.map((column) => column[n] ?? "").join(","));
  return new Blob([["step", ...names].join(","), "\n", rows.join("\n"), "\n"], { type: "text/csv" });
}
