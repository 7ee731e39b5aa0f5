/** Audit log: who changed what, newest first. */
import type { Change } from "../api/audit";
import { useListOf } from "../api/pages";
import { when } from "../format";
import { t } from "../i18n";
import { MoreButton } from "../parts/more";
import { Empty, Shown } from "../parts/states";
import { Table } from "../parts/table";

const COLUMNS = ["audit.at", "audit.subject", "audit.key", "audit.route", "audit.object", "audit.request"] as const;

export function AuditPage() {
  const changes = useListOf<Change>("/v1/audit", (one, other) => other.at - one.at);
  return (
    <>
      <h1 id="audit">{t("nav.audit")}</h1>
      <Shown of={changes}>{(all) => <ChangeTable changes={all} />}</Shown>
      <MoreButton list={changes} />
    </>
  );
}

function ChangeTable({ changes }: { changes: Change[] }) {
  if (changes.length === 0) return <Empty words={t("audit.none")} />;
  return (
    <Table labelledBy="audit" head={COLUMNS.map((key) => t(key))}>
      {changes.map((change) => (
        <tr key={change.id}>
          <td>{when(change.at)}</td>
          <td>{change.subject}</td>
          <td>{change.key_id}</td>
          <th scope="row">{change.route}</th>
          <td>{change.object_id}</td>
          <td>
            <code>{change.request_id}</code>
          </td>
        </tr>
      ))}
    </Table>
  );
}
