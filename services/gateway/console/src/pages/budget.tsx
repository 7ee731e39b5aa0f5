/** Budget: the limits of the whole tenant, and what is used of them. */
import type { BudgetUsage, Limits } from "../api/limits";
import { useLoaded } from "../api/loaded";
import { when } from "../format";
import { t } from "../i18n";
import { Facts } from "../parts/facts";
import { LimitsTable } from "../parts/limits";
import { Shown } from "../parts/states";
import { LimitsForm } from "./limits_form";

const PATH = "/v1/budget";
const RELOAD_SECONDS = 15;

interface Budget {
  limits: Limits;
  usage: BudgetUsage;
  changed_by: string;
}

export function BudgetPage() {
  const budget = useLoaded<Budget>(PATH, RELOAD_SECONDS);
  return (
    <>
      <h1 id="budget">{t("nav.budget")}</h1>
      <Shown of={budget}>
        {(found) => (
          <>
            <LimitsTable labelledBy="budget" limits={found.limits} usage={found.usage} />
            <Facts facts={factsOf(found)} />
            <LimitsForm path={PATH} call="budget.set" limits={found.limits} changed={budget.reload} />
          </>
        )}
      </Shown>
    </>
  );
}

function factsOf({ usage, changed_by }: Budget) {
  return [
    [t("budget.since"), usage.period_start ? when(usage.period_start) : ""],
    [t("budget.changed_by"), changed_by],
  ] as const;
}
