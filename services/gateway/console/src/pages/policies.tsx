/** Moderation policy: what is in force, a text to try it on, a new version, and the earlier ones. */
import { useLoaded } from "../api/loaded";
import { isOwn, type Policy, type PolicyVersion } from "../api/policies";
import { t } from "../i18n";
import { PolicyDocuments, PolicyFacts } from "../parts/policy_parts";
import { Shown } from "../parts/states";
import { PolicyProposal } from "./policy_proposal";
import { PolicyTester } from "./policy_tester";
import { PolicyVersions } from "./policy_versions";

export function PoliciesPage() {
  const policy = useLoaded<Policy>("/v1/moderation/policy");
  const versions = useLoaded<{ data: PolicyVersion[] }>("/v1/moderation/policy/versions");
  const changed = () => (policy.reload(), versions.reload());
  return (
    <>
      <h1>{t("nav.policies")}</h1>
      <section aria-labelledby="in_force">
        <h2 id="in_force">{t("policy.in_force")}</h2>
        <Shown of={policy}>{(found) => <InForce policy={found} />}</Shown>
      </section>
      <PolicyTester />
      {policy.data && <PolicyProposal key={policy.data.digest} policy={policy.data} changed={changed} />}
      <section aria-labelledby="versions">
        <h2 id="versions">{t("policy.versions")}</h2>
        <Shown of={versions}>
          {(found) => <PolicyVersions versions={found.data} inForce={policy.data} changed={changed} />}
        </Shown>
      </section>
    </>
  );
}

function InForce({ policy }: { policy: Policy }) {
  return (
    <>
      {!isOwn(policy) && <p>{t("policy.is_shared")}</p>}
      <PolicyFacts policy={policy} />
      <PolicyDocuments policy={policy} />
    </>
  );
}

/** One version, with its documents. */
export function PolicyPage({ id }: { id: string }) {
  const policy = useLoaded<Policy>(`/v1/moderation/policy?version=${encodeURIComponent(id)}`);
  return (
    <>
      <h1>{t("policy.version_of", { version: id })}</h1>
      <Shown of={policy}>
        {(found) => (
          <>
            <PolicyFacts policy={found} />
            <PolicyDocuments policy={found} />
          </>
        )}
      </Shown>
    </>
  );
}
