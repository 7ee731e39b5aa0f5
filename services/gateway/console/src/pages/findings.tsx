/** What is wrong with the installation as the gateway sees it, each with its remedy; a part of operations. */
import { useLoaded } from "../api/loaded";
import type { Finding } from "../api/operations";
import { named, t } from "../i18n";
import { Empty, Shown } from "../parts/states";
import { Table } from "../parts/table";

const RELOAD_SECONDS = 60;
const COLUMNS = ["ops.severity", "ops.check", "ops.problem", "ops.remedy"] as const;

export function Findings() {
  const findings = useLoaded<{ data: Finding[] }>("/v1/findings", RELOAD_SECONDS);
  return (
    <section aria-labelledby="findings">
      <h2 id="findings">{t("ops.findings")}</h2>
      <Shown of={findings}>{({ data }) => <FindingTable findings={data} />}</Shown>
      <p>
        {t("ops.more_checks")} <code>mill doctor</code>
      </p>
    </section>
  );
}

function FindingTable({ findings }: { findings: Finding[] }) {
  if (findings.length === 0) return <Empty words={t("ops.no_findings")} />;
  return (
    <Table labelledBy="findings" head={COLUMNS.map((key) => t(key))}>
      {findings.map(({ check, severity, problem, remedy }) => (
        <tr key={`${check} ${problem}`}>
          <td>
            <span class={`status ${severity}`}>{named("ops.severity", severity)}</span>
          </td>
          <th scope="row">{check}</th>
          <td class="told">{problem}</td>
          <td class="told">{remedy}</td>
        </tr>
      ))}
    </Table>
  );
}
