/** API keys: what each may do, when it was last used, and a way to revoke it. */
import { useState } from "preact/hooks";
import { ask } from "../api/client";
import { useLastUses, USE_DAYS, type ApiKey } from "../api/keys";
import { useLongList } from "../api/pages";
import { dayAgo, when } from "../format";
import { named, t } from "../i18n";
import { ConfirmedButton } from "../parts/confirm";
import { limitsLine } from "../parts/limits";
import { MoreButton } from "../parts/more";
import { Empty, Refusal, Shown } from "../parts/states";
import { Table } from "../parts/table";
import { addressOf } from "../routing";

const COLUMNS = [
  ...(["key.name", "key.prefix", "key.status", "key.scopes", "key.models", "key.limits"] as const),
  ...(["key.last_used", "key.expires", "key.actions"] as const),
];

export function KeysPage() {
  const keys = useLongList<ApiKey>("/v1/keys");
  const uses = useLastUses();
  return (
    <>
      <h1 id="keys">{t("nav.keys")}</h1>
      <p>
        <a role="button" class="small" href={addressOf("keys", "new")}>
          {t("key.new")}
        </a>
      </p>
      <Shown of={keys}>{(all) => <KeyTable keys={all} uses={uses.data} changed={keys.reload} />}</Shown>
      <MoreButton list={keys} />
      {keys.data !== null && uses.error !== null && (
        <>
          <p>{t("key.use_unknown")}</p>
          <Refusal error={uses.error} />
        </>
      )}
    </>
  );
}

interface KeyTableProps {
  keys: ApiKey[];
  uses: ReadonlyMap<string, number> | null;
  changed: () => void;
}

function KeyTable({ keys, uses, changed }: KeyTableProps) {
  // Only the first page of a list is loaded again.
  const [revoked, setRevoked] = useState<ReadonlySet<string>>(new Set());
  const revoke = (id: string) => (setRevoked((old) => new Set(old).add(id)), changed());
  if (keys.length === 0) return <Empty words={t("key.none")} command="mill keys create NAME" />;
  return (
    <Table labelledBy="keys" head={COLUMNS.map((key) => t(key))}>
      {keys.map((key) => (
        <KeyRow key={key.id} of={revoked.has(key.id) ? { ...key, status: "revoked" } : key} uses={uses} revoked={() => revoke(key.id)} />
      ))}
    </Table>
  );
}

interface KeyRowProps {
  of: ApiKey;
  uses: KeyTableProps["uses"];
  revoked: () => void;
}

function KeyRow({ of, uses, revoked }: KeyRowProps) {
  return (
    <tr>
      <th scope="row">
        <a href={addressOf("keys", of.id)}>{of.name || of.id}</a>
      </th>
      <td>
        <code>{of.prefix}…</code>
      </td>
      <td>
        <KeyStatus of={of} />
      </td>
      <td>{of.scopes.join(", ")}</td>
      <td>{of.models.length ? of.models.join(", ") : of.status !== "revoked" && t("key.every_model")}</td>
      <td>{limitsLine(of.limits)}</td>
      <td>{uses && lastUse(uses.get(of.id))}</td>
      <td>{of.expires_at === null ? t("key.never") : when(of.expires_at)}</td>
      <td>{of.status === "active" && <RevokeButton of={of} revoked={revoked} />}</td>
    </tr>
  );
}

function lastUse(day: number | undefined): string {
  return day === undefined ? t("key.unused", { days: USE_DAYS }) : dayAgo(day);
}

export function KeyStatus({ of }: { of: Pick<ApiKey, "status"> }) {
  return <span class={`status ${of.status}`}>{named("key.status", of.status)}</span>;
}

export function RevokeButton({ of, revoked }: { of: ApiKey; revoked: () => void }) {
  const [error, setError] = useState<unknown>(null);

  async function revoke() {
    setError(null);
    try {
      await ask(`/v1/keys/${encodeURIComponent(of.id)}`, { method: "DELETE" });
      revoked();
    } catch (refused) {
      setError(refused);
    }
  }

  return (
    <>
      <ConfirmedButton label={t("key.revoke")} question={t("key.revoke_asked", { name: of.name })} act={() => void revoke()} />
      {error !== null && <Refusal error={error} />}
    </>
  );
}
