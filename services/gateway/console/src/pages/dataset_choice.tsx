/** Datasets that may be added to a comparison. */
import { useLoaded } from "../api/loaded";
import type { Dataset, Page } from "../api/types";
import { ago } from "../format";
import { t } from "../i18n";
import { Empty, Shown } from "../parts/states";

const LISTED = 100;

interface DatasetChoiceProps {
  /** Those that are compared already. */
  ids: readonly string[];
  add: (id: string) => void;
}

export function DatasetChoice({ ids, add }: DatasetChoiceProps) {
  const datasets = useLoaded<Page<Dataset>>(`/v1/datasets?limit=${LISTED}`);
  return (
    <>
      <p>{t("compare_data.choose")}</p>
      <Shown of={datasets}>{({ data }) => <Choice datasets={data} ids={ids} add={add} />}</Shown>
    </>
  );
}

function Choice({ datasets, ids, add }: DatasetChoiceProps & { datasets: readonly Dataset[] }) {
  const others = datasets.filter(({ id }) => !ids.includes(id));
  if (others.length === 0) return <Empty words={t("compare_data.none")} command="mill data create FILE" />;
  return (
    <select aria-label={t("compare_data.add")} value="" onChange={(event) => add(event.currentTarget.value)}>
      <option value="">{t("compare_data.add")}</option>
      {others.map(({ id, name, created_at }) => (
        <option key={id} value={id}>
          {[name, ago(created_at), id].filter(Boolean).join(" · ")}
        </option>
      ))}
    </select>
  );
}
