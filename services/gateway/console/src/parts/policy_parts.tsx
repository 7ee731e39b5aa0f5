/** Parts that show a policy alike on every page: what it is, and its documents. */
import type { Policy, PolicyDocument } from "../api/policies";
import { when } from "../format";
import { t } from "../i18n";
import { Facts } from "./facts";

export function PolicyFacts({ policy }: { policy: Policy }) {
  const facts = [
    [t("policy.version"), policy.version ? String(policy.version) : ""],
    [t("policy.digest"), policy.digest && <code>{policy.digest}</code>],
    [t("policy.changed_by"), policy.changed_by],
    [t("policy.changed"), policy.changed_at && when(policy.changed_at)],
    [t("policy.restores"), policy.restores_version && String(policy.restores_version)],
    [t("policy.removed_defaults"), policy.removed_default_rules.join(", ")],
  ] as const;
  return <Facts facts={facts} />;
}

export function PolicyDocuments({ policy }: { policy: Policy }) {
  return (
    <>
      {policy.documents.map((document) => (
        <Document key={document.name} title={document.name} document={document} />
      ))}
      {policy.default_documents.map((document) => (
        <Document key={`default ${document.name}`} title={t("policy.defaults", { name: document.name })} document={document} />
      ))}
    </>
  );
}

function Document({ title, document }: { title: string; document: PolicyDocument }) {
  return (
    <details>
      <summary>{title}</summary>
      <pre tabIndex={0}>{document.text}</pre>
    </details>
  );
}
