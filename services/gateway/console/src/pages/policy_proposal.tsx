/** A new version of the policy as text: checked first, with every error at its line, then put in force. */
import { useState } from "preact/hooks";
import { ApiError } from "../api/client";
import { POLICY, isOwn, placed, policyBody, putPolicy, type Policy, type PolicyChange, type PolicyDocument } from "../api/policies";
import { t } from "../i18n";
import { ConfirmedButton } from "../parts/confirm";
import { DocumentFields, DocumentErrors } from "../parts/document_fields";
import { Facts } from "../parts/facts";
import { SameRequest } from "../parts/same_request";
import { Refusal } from "../parts/states";

const UNPROCESSABLE = 422;

interface ProposalProps {
  policy: Policy;
  /** Called when something else is in force. */
  changed: () => void;
}

interface Answer {
  checked: PolicyChange | null;
  error: unknown;
}

const NO_ANSWER: Answer = { checked: null, error: null };

export function PolicyProposal({ policy, changed }: ProposalProps) {
  const [documents, setDocuments] = useState<readonly PolicyDocument[]>(isOwn(policy) ? policy.documents : [{ name: "policy.yaml", text: "" }]);
  const [{ checked, error }, setAnswer] = useState<Answer>(NO_ANSWER);
  const [mayGo, setMayGo] = useState(false);
  const removing = mayGo && checked ? checked.unconfirmed_default_rules : [];
  const proposed = { documents, expected: policy.digest, removing };

  function edit(edited: readonly PolicyDocument[]) {
    setDocuments(edited);
    setAnswer(NO_ANSWER);
    setMayGo(false);
  }

  async function send(isDryRun: boolean) {
    try {
      const change = await putPolicy({ ...proposed, isDryRun });
      setAnswer({ checked: change, error: null });
      if (change.written) changed();
    } catch (refused) {
      setAnswer({ checked: null, error: refused });
    }
  }

  return (
    <section aria-labelledby="proposal">
      <h2 id="proposal">{t("policy.propose")}</h2>
      <form onSubmit={(event) => (event.preventDefault(), void send(true))}>
        <DocumentFields documents={documents} change={edit} />
        <button type="submit" class="secondary">
          {t("policy.check")}
        </button>
        <SameRequest method="PUT" path={POLICY} call="policies.set" body={policyBody({ ...proposed, isDryRun: true })} />
      </form>
      {error !== null && <ProposalErrors error={error} documents={documents} />}
      {checked && <Checked change={checked} mayGo={mayGo} setMayGo={setMayGo} put={() => void send(false)} />}
    </section>
  );
}

function ProposalErrors({ error, documents }: { error: unknown; documents: readonly PolicyDocument[] }) {
  if (!(error instanceof ApiError) || error.status !== UNPROCESSABLE) return <Refusal error={error} />;
  return <DocumentErrors errors={error.errors.map((each) => placed(each, documents))} documents={documents} />;
}

interface CheckedProps {
  change: PolicyChange;
  mayGo: boolean;
  setMayGo: (mayGo: boolean) => void;
  put: () => void;
}

function Checked({ change, mayGo, setMayGo, put }: CheckedProps) {
  const { added_rules, removed_rules, changed_rules, changed_settings } = change.changes;
  const going = change.unconfirmed_default_rules;
  const facts = [
    [t("policy.added"), added_rules.join(", ")],
    [t("policy.removed"), removed_rules.join(", ")],
    [t("policy.altered"), changed_rules.join(", ")],
    [t("policy.settings"), changed_settings.join(", ")],
  ] as const;
  const isSame = facts.every(([, rules]) => !rules);
  return (
    <div>
      <p role="status">{t(isSame ? "policy.same" : "policy.valid")}</p>
      <Facts facts={facts} />
      {going.length > 0 && (
        <label>
          <input type="checkbox" checked={mayGo} onChange={() => setMayGo(!mayGo)} />
          {t("policy.may_go", { rules: going.join(", ") })}
        </label>
      )}
      {!isSame && (going.length === 0 || mayGo) && (
        <div class="actions">
          <ConfirmedButton label={t("policy.put")} question={t("policy.put_asked")} act={put} />
        </div>
      )}
    </div>
  );
}
