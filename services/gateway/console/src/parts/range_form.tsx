/** The steps that charts show, as a form. */
import { useState } from "preact/hooks";
import type { StepRange } from "../api/job_metrics";
import { t } from "../i18n";

interface RangeFormProps {
  range: StepRange | null;
  choose: (range: StepRange | null) => void;
}

/** The steps that the charts show, for who does not draw over them with a mouse. */
export function RangeForm({ range, choose }: RangeFormProps) {
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
