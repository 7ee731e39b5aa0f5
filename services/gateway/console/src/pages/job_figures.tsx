/** Charts of a job's figures, of all its steps or of some, and every point as a file. */
import { useState } from "preact/hooks";
import { send } from "../api/client";
import type { JobHistory } from "../api/job_history";
import { useJobFigures, type StepRange } from "../api/job_metrics";
import { t, type MessageKey } from "../i18n";
import { Chart } from "../parts/chart";
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

interface RangeFormProps {
  range: StepRange | null;
  choose: (range: StepRange | null) => void;
}

/** The steps that the charts show, for who does not draw over them with a mouse. */
function RangeForm({ range, choose }: RangeFormProps) {
  const [first, setFirst] = useState(String(range?.first ?? ""));
  const [last, setLast] = useState(String(range?.last ?? ""));

  function submit(event: Event) {
    event.preventDefault();
    choose({ first: Number(first), last: last === "" ? null : Number(last) });
  }

  return (
    <form class="actions" onSubmit={submit}>
      <StepInput label={t("chart.from")} value={first} least={0} set={setFirst} />
      <StepInput label={t("chart.to")} value={last} least={Number(first)} set={setLast} />
      <button type="submit" class="secondary outline small" disabled={first === "" && last === ""}>
        {t("chart.show")}
      </button>
      {range !== null && (
        <button type="button" class="secondary outline small" onClick={() => choose(null)}>
          {t("chart.whole")}
        </button>
      )}
      <small>{t("chart.hint")}</small>
    </form>
  );
}

interface StepInputProps {
  label: string;
  value: string;
  least: number;
  set: (value: string) => void;
}

function StepInput({ label, value, least, set }: StepInputProps) {
  return (
    <label class="inline">
      {label}{" "}
      <input
        type="number"
        class="small"
        min={least}
        max={Number.MAX_SAFE_INTEGER}
        value={value}
        onInput={(event) => set(event.currentTarget.value)}
      />
    </label>
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
