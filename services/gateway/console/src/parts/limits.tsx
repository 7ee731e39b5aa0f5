/** Limits of keys and tenants: as a line, as a table with what is used, and as fields of a form. */
import { LIMIT_NAMES, type BudgetUsage, type Limits, type WrittenLimits } from "../api/limits";
import { whole } from "../format";
import { named, t } from "../i18n";
import { Table } from "./table";

type LimitName = (typeof LIMIT_NAMES)[number];
const COLUMNS = ["limit.limit", "limit.value", "limit.used", "limit.leased"] as const;
const MONEY_FIELD = { inputMode: "decimal", pattern: "[0-9]{1,9}([.][0-9]{1,6})?" } as const;
const NUMBER_FIELD = { type: "number", min: 1, step: 1 } as const;

/** In one line, for a cell of a table. */
export function limitsLine(limits: Limits): string {
  const given = LIMIT_NAMES.filter((name) => limits[name] !== null);
  return given.map((name) => `${titleOf(name, limits)}: ${amount(limits[name])}`).join("; ");
}

interface LimitsTableProps {
  labelledBy: string;
  limits: Limits;
  usage: BudgetUsage | null;
}

export function LimitsTable({ labelledBy, limits, usage }: LimitsTableProps) {
  return (
    <Table labelledBy={labelledBy} head={COLUMNS.map((key) => t(key))}>
      {LIMIT_NAMES.map((name) => (
        <tr key={name}>
          <th scope="row">{titleOf(name, limits)}</th>
          <td>{limits[name] === null ? t("limit.none") : amount(limits[name])}</td>
          <td>{usage && (name === "tokens" || name === "money") && amount(usage[name])}</td>
          <td>{usage && (name === "tokens" || name === "money") && amount(usage[`leased_${name}`])}</td>
        </tr>
      ))}
    </Table>
  );
}

function titleOf(name: LimitName, { period }: Limits): string {
  const isRenewed = period !== null && (name === "tokens" || name === "money");
  return isRenewed ? `${t(`limit.${name}`)} (${named("limit.period", period)})` : t(`limit.${name}`);
}

/** Money comes as text, and is shown as it was set. */
function amount(value: number | string | null): string {
  return typeof value === "number" ? whole(value) : (value ?? "");
}

interface LimitFieldsProps {
  written: WrittenLimits;
  change: (written: WrittenLimits) => void;
}

export function LimitFields({ written, change }: LimitFieldsProps) {
  return (
    <fieldset>
      <legend>{t("limit.fields")}</legend>
      <div class="fields">
        {LIMIT_NAMES.map((name) => (
          <label key={name}>
            {t(`limit.${name}`)}
            <input
              {...(name === "money" ? MONEY_FIELD : NUMBER_FIELD)}
              value={written[name]}
              onInput={(event) => change({ ...written, [name]: event.currentTarget.value })}
            />
          </label>
        ))}
        <label>
          {t("limit.period")}
          <select value={written.period} onChange={(event) => change({ ...written, period: event.currentTarget.value })}>
            <option value="">{t("limit.period.ever")}</option>
            <option value="day">{t("limit.period.day")}</option>
            <option value="month">{t("limit.period.month")}</option>
          </select>
        </label>
      </div>
    </fieldset>
  );
}
