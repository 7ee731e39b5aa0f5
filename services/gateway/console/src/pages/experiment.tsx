/** One experiment: its arms, the evidence so far, what was decided, and its end. */
import { ask } from "../api/client";
import { isLive, type Decision, type Evidence, type Experiment } from "../api/experiments";
import { useLoaded } from "../api/loaded";
import { figure, percent, when, whole } from "../format";
import { t } from "../i18n";
import { AskedButton } from "../parts/confirm";
import { Facts } from "../parts/facts";
import { VersionLink } from "../parts/model_parts";
import { Empty, Shown } from "../parts/states";
import { Table } from "../parts/table";
import { addressOf } from "../routing";
import { ExperimentStatus } from "./experiments";

const RELOAD_SECONDS = 5;
const ARMS = ["experiment.arm", "experiment.version", "experiment.share"] as const;
const EVIDENCE = [
  ...(["experiment.candidate", "experiment.metric", "experiment.base_mean", "experiment.candidate_mean"] as const),
  ...(["experiment.counted", "experiment.better", "experiment.harmless", "experiment.harmful"] as const),
];
const DECISIONS = [
  ...(["experiment.phase", "experiment.verdict", "experiment.candidate", "experiment.metric"] as const),
  ...(["experiment.evidence", "experiment.threshold", "experiment.after_keys"] as const),
];

export function ExperimentPage({ id }: { id: string }) {
  const path = `/v1/experiments/${encodeURIComponent(id)}`;
  const experiment = useLoaded<Experiment>(path, RELOAD_SECONDS);
  return (
    <>
      <h1>
        <code>{id}</code>
      </h1>
      <Shown of={experiment}>{(found) => <Found of={found} path={path} changed={experiment.reload} />}</Shown>
    </>
  );
}

function Found({ of, path, changed }: { of: Experiment; path: string; changed: () => void }) {
  const stop = async () => {
    await ask(`${path}/stop`, { method: "POST" });
    changed();
  };
  return (
    <>
      <p>
        <ExperimentStatus of={of} /> {of.reason}
      </p>
      {isLive(of) && <AskedButton label={t("experiment.stop")} question={t("experiment.stop_asked", { alias: of.alias })} act={stop} />}
      <ExperimentFacts of={of} />
      <section aria-labelledby="arms">
        <h2 id="arms">{t("experiment.arms")}</h2>
        <Arms of={of} />
      </section>
      <section aria-labelledby="evidence">
        <h2 id="evidence">{t("experiment.evidence")}</h2>
        <p>{t("experiment.evidence_help")}</p>
        <EvidenceTable evidence={of.evidence} />
      </section>
      <section aria-labelledby="decisions">
        <h2 id="decisions">{t("experiment.decisions")}</h2>
        <DecisionTable decisions={of.decisions} />
        <p>
          {t("experiment.replay")} <code>mill experiments replay {of.id}</code>
        </p>
      </section>
    </>
  );
}

function ExperimentFacts({ of }: { of: Experiment }) {
  const facts = [
    [t("experiment.alias"), <a href={addressOf("aliases", of.alias)}>{of.alias}</a>],
    [t("experiment.primary"), of.primary],
    [t("experiment.guardrails"), of.guardrails.join(", ")],
    [t("experiment.missing"), of.missing.join(", ")],
    [t("experiment.keys"), t("experiment.keys_of", { keys: whole(of.keys), horizon: whole(of.horizon) })],
    [t("experiment.alpha"), figure(of.alpha)],
    [t("experiment.holdback"), percent(of.holdback)],
    [t("experiment.window"), t("experiment.seconds", { seconds: whole(of.window_seconds) })],
    [t("experiment.created"), when(of.created_at)],
    [t("experiment.changed_by"), of.changed_by],
  ] as const;
  return <Facts facts={facts} />;
}

function Arms({ of }: { of: Experiment }) {
  return (
    <Table labelledBy="arms" head={ARMS.map((key) => t(key))}>
      {of.arms.map((arm) => (
        <tr key={arm.name}>
          <th scope="row">{arm.name}</th>
          <td>
            <VersionLink id={arm.version_id} />
          </td>
          <td>{percent(arm.share)}</td>
        </tr>
      ))}
    </Table>
  );
}

function EvidenceTable({ evidence }: { evidence: Evidence[] }) {
  return (
    <Table labelledBy="evidence" head={EVIDENCE.map((key) => t(key))}>
      {evidence.map((each) => (
        <tr key={`${each.candidate} ${each.metric}`}>
          <td>{each.candidate}</td>
          <th scope="row">{each.metric}</th>
          <td>{each.base_mean !== null && figure(each.base_mean)}</td>
          <td>{each.candidate_mean !== null && figure(each.candidate_mean)}</td>
          <td>{t("experiment.counted_of", { base: whole(each.base_keys), candidate: whole(each.candidate_keys) })}</td>
          <td>{figure(each.better)}</td>
          <td>{figure(each.harmless)}</td>
          <td>{figure(each.harmful)}</td>
        </tr>
      ))}
    </Table>
  );
}

function DecisionTable({ decisions }: { decisions: Decision[] }) {
  if (decisions.length === 0) return <Empty words={t("experiment.undecided")} />;
  return (
    <Table labelledBy="decisions" head={DECISIONS.map((key) => t(key))}>
      {decisions.map((each) => (
        <tr key={`${each.phase} ${each.verdict} ${each.candidate ?? ""}`}>
          <td>{t(each.phase === 0 ? "experiment.comparing" : "experiment.watch")}</td>
          <th scope="row">{t(`experiment.verdict_${each.verdict}`)}</th>
          <td>{each.candidate}</td>
          <td>{each.metric}</td>
          <td>{figure(each.evidence)}</td>
          <td>{figure(each.threshold)}</td>
          <td>{whole(each.keys)}</td>
        </tr>
      ))}
    </Table>
  );
}
