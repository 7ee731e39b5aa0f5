/** Usage: requests, tokens and cost by day, model and API key. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { ApiKey } from "../api/keys";
import { useLoaded } from "../api/loaded";
import type { Page, UsageSums } from "../api/types";
import { MEASURES, NOTHING, PERIODS, asCsv, daysOf, sumsBy, useUsedRows, type Measure, type UsedRow } from "../api/usage";
import { dayOf, money, whole } from "../format";
import { t } from "../i18n";
import { Bar } from "../parts/bar";
import { Facts } from "../parts/facts";
import { VersionLink } from "../parts/model_parts";
import { save } from "../parts/save";
import { Shown } from "../parts/states";
import { Table } from "../parts/table";
import { addressOf, place } from "../routing";

const TITLES = {
  num_model_requests: "usage.requests",
  input_tokens: "usage.input",
  output_tokens: "usage.output",
  cost_micros: "usage.cost",
} as const;

export function UsagePage() {
  const asked = Number(place.value.query.get("days"));
  const days = PERIODS.find((each) => each === asked) ?? PERIODS[0];
  const [measure, setMeasure] = useState<Measure>("num_model_requests");
  const rows = useUsedRows(days);
  return (
    <>
      <h1>{t("nav.usage")}</h1>
      <div class="actions">
        <PeriodChoice days={days} />
        <MeasureChoice measure={measure} choose={setMeasure} />
        {rows.data && rows.data.length > 0 && <CsvButton rows={rows.data} />}
      </div>
      <p>
        <small>{t("usage.zone", { zone: Intl.DateTimeFormat().resolvedOptions().timeZone })}</small>
      </p>
      <Shown of={rows}>{(found) => <Used rows={found} days={days} measure={measure} />}</Shown>
    </>
  );
}

function PeriodChoice({ days }: { days: number }) {
  const choose = (event: Event & { currentTarget: HTMLSelectElement }) => {
    location.hash = addressOf("usage", "", { days: event.currentTarget.value });
  };
  return (
    <select aria-label={t("usage.period")} class="small" value={days} onChange={choose}>
      {PERIODS.map((each) => (
        <option key={each} value={each}>
          {t("usage.days", { days: each })}
        </option>
      ))}
    </select>
  );
}

function MeasureChoice({ measure, choose }: { measure: Measure; choose: (measure: Measure) => void }) {
  return (
    <select aria-label={t("usage.bars")} class="small" value={measure} onChange={(event) => choose(event.currentTarget.value as Measure)}>
      {MEASURES.map((each) => (
        <option key={each} value={each}>
          {t(TITLES[each])}
        </option>
      ))}
    </select>
  );
}

function CsvButton({ rows }: { rows: UsedRow[] }) {
  const give = () => save("usage.csv", new Blob([asCsv(rows)], { type: "text/csv" }));
  return (
    <button type="button" class="secondary outline small" onClick={give}>
      {t("usage.csv")}
    </button>
  );
}

interface UsedProps {
  rows: UsedRow[];
  days: number;
  measure: Measure;
}

function Used({ rows, days, measure }: UsedProps) {
  const byDay = sumsBy(rows, (row) => row.day);
  const total = sumsBy(rows, () => "").get("") ?? NOTHING;
  return (
    <>
      <Facts facts={MEASURES.map((each) => [t(TITLES[each]), shown(each, total)] as const)} />
      <SumTable
        id="by_day"
        title={t("usage.by_day")}
        head={t("usage.day")}
        measure={measure}
        rows={daysOf(days).map((day) => ({ key: String(day), name: dayOf(day), sums: byDay.get(day) ?? NOTHING }))}
      />
      <SumTable
        id="by_model"
        title={t("usage.by_model")}
        head={t("usage.model")}
        measure={measure}
        rows={[...sumsBy(rows, (row) => row.model)].map(([model, sums]) => ({
          key: model ?? "",
          name: model === null ? t("usage.no_model") : <VersionLink id={model} />,
          sums,
        }))}
      />
      <ByKey rows={rows} measure={measure} />
    </>
  );
}

/** Keys by name where the names may be seen, else by id. */
function ByKey({ rows, measure }: Pick<UsedProps, "rows" | "measure">) {
  const keys = useLoaded<Page<ApiKey>>("/v1/keys?limit=100");
  const names = new Map(keys.data?.data.map((key) => [key.id, key.name]));
  return (
    <SumTable
      id="by_key"
      title={t("usage.by_key")}
      head={t("usage.key")}
      measure={measure}
      rows={[...sumsBy(rows, (row) => row.api_key_id)].map(([id, sums]) => ({
        key: id ?? "",
        name: id === null ? t("usage.no_key") : <a href={addressOf("keys", id)}>{names.get(id) || id}</a>,
        sums,
      }))}
    />
  );
}

interface SumTableProps {
  id: string;
  title: string;
  /** Title of the first column. */
  head: string;
  /** What the bars stand for. */
  measure: Measure;
  rows: { key: string; name: ComponentChildren; sums: UsageSums }[];
}

function SumTable({ id, title, head, measure, rows }: SumTableProps) {
  const most = Math.max(1, ...rows.map((row) => row.sums[measure]));
  const barTitle = t("usage.bar", { measure: t(TITLES[measure]) });
  return (
    <section aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      {rows.length === 0 && <p class="empty">{t("usage.none")}</p>}
      {rows.length > 0 && (
        <Table labelledBy={id} head={[head, ...MEASURES.map((each) => t(TITLES[each])), barTitle]}>
          {rows.map((row) => (
            <tr key={row.key}>
              <th scope="row">{row.name}</th>
              {MEASURES.map((each) => (
                <td key={each}>{shown(each, row.sums)}</td>
              ))}
              <td class="barred">
                <Bar share={row.sums[measure] / most} />
              </td>
            </tr>
          ))}
        </Table>
      )}
    </section>
  );
}

function shown(measure: Measure, sums: UsageSums): string {
  return measure === "cost_micros" ? money(sums[measure]) : whole(sums[measure]);
}
