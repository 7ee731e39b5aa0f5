/** A figure, with its interval where it is an estimate. */
import { figure } from "../format";
import { t } from "../i18n";

interface ScoreProps {
  of: { value: number; low: number | null; high: number | null } | null;
}

export function Score({ of }: ScoreProps) {
  if (of === null) return <>—</>;
  const { value, low, high } = of;
  if (low === null || high === null) return <>{figure(value)}</>;
  return (
    <>
      {figure(value)} <small>{t("compare.interval", { low: figure(low), high: figure(high) })}</small>
    </>
  );
}
