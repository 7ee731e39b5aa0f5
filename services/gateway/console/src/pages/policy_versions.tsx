/** Versions of the tenant's own policy, each of which can be brought back. */
import { useState } from "preact/hooks";
import { ApiError } from "../api/client";
import { isOwn, revertPolicy, type PolicyVersion } from "../api/policies";
import { when } from "../format";
import { t } from "../i18n";
import { ConfirmedButton } from "../parts/confirm";
import { Empty, Refusal } from "../parts/states";
import { Table } from "../parts/table";
import { addressOf } from "../routing";

const COLUMNS = ["policy.version", "policy.digest", "policy.changed_by", "policy.changed", "policy.actions"] as const;

interface VersionsProps {
  versions: PolicyVersion[];
  inForce: PolicyVersion | null;
  changed: () => void;
}

interface Refused {
  version: number | null;
  error: unknown;
}

export function PolicyVersions({ versions, inForce, changed }: VersionsProps) {
  const [refused, setRefused] = useState<Refused | null>(null);

  async function revert(version: number | null, removing: readonly string[] = []) {
    setRefused(null);
    try {
      await revertPolicy(version, inForce?.digest ?? null, removing);
      changed();
    } catch (error) {
      setRefused({ version, error });
    }
  }

  if (versions.length === 0) return <Empty words={t("policy.none")} command="mill moderation apply FILE" />;
  return (
    <>
      {refused && <RefusedRevert of={refused} again={(removing) => void revert(refused.version, removing)} />}
      <Table labelledBy="versions" head={COLUMNS.map((key) => t(key))}>
        {versions.map((version) => (
          <VersionRow key={version.version} of={version} inForce={inForce} revert={() => void revert(version.version)} />
        ))}
      </Table>
      {inForce && isOwn(inForce) && (
        <div class="actions">
          <ConfirmedButton label={t("policy.to_shared")} question={t("policy.to_shared_asked")} act={() => void revert(null)} />
        </div>
      )}
    </>
  );
}

interface VersionRowProps {
  of: PolicyVersion;
  inForce: PolicyVersion | null;
  revert: () => void;
}

function VersionRow({ of, inForce, revert }: VersionRowProps) {
  const isInForce = inForce !== null && isOwn(inForce) && inForce.version === of.version;
  return (
    <tr>
      <th scope="row">
        {of.follows_shared ? of.version : <a href={addressOf("policies", String(of.version))}>{of.version}</a>}
      </th>
      <td>{of.digest ? <code>{of.digest.slice(0, 19)}</code> : t("policy.shared")}</td>
      <td>{of.changed_by}</td>
      <td>{of.changed_at ? when(of.changed_at) : ""}</td>
      <td>
        {isInForce && t("policy.in_force")}
        {!isInForce && !of.follows_shared && inForce && (
          <ConfirmedButton label={t("policy.revert")} question={t("policy.revert_asked", { version: of.version })} act={revert} />
        )}
      </td>
    </tr>
  );
}

/** Default rules that would judge no more go only when somebody has seen which ones these are. */
function RefusedRevert({ of, again }: { of: Refused; again: (removing: readonly string[]) => void }) {
  const rules = of.error instanceof ApiError ? of.error.defaultRules : [];
  return (
    <>
      <Refusal error={of.error} />
      {rules.length > 0 && (
        <div class="actions">
          <ConfirmedButton label={t("policy.revert_without")} question={t("policy.may_go", { rules: rules.join(", ") })} act={() => again(rules)} />
        </div>
      )}
    </>
  );
}
