/** Experiments: versions that are compared on the live requests of an alias. */
import { isLive, type Experiment } from "../api/experiments";
import { useLongList } from "../api/pages";
import { ago, whole } from "../format";
import { t } from "../i18n";
import { MoreButton } from "../parts/more";
import { Empty, Shown } from "../parts/states";
import { Table } from "../parts/table";
import { addressOf } from "../routing";

const COLUMNS = [
  ...(["experiment.id", "experiment.alias", "experiment.status"] as const),
  ...(["experiment.primary", "experiment.keys", "experiment.created"] as const),
];

export function ExperimentsPage() {
  const experiments = useLongList<Experiment>("/v1/experiments");
  return (
    <>
      <h1 id="experiments">{t("nav.experiments")}</h1>
      <Shown of={experiments}>{(all) => <ExperimentTable experiments={all} />}</Shown>
      <MoreButton list={experiments} />
    </>
  );
}

function ExperimentTable({ experiments }: { experiments: Experiment[] }) {
  if (experiments.length === 0) {
    return <Empty words={t("experiment.none")} command="mill experiments create ALIAS VERSION --primary METRIC" />;
  }
  return (
    <Table labelledBy="experiments" head={COLUMNS.map((key) => t(key))}>
      {experiments.map((experiment) => (
        <tr key={experiment.id}>
          <th scope="row">
            <a href={addressOf("experiments", experiment.id)}>
              <code>{experiment.id}</code>
            </a>
          </th>
          <td>{experiment.alias}</td>
          <td>
            <ExperimentStatus of={experiment} />
          </td>
          <td>{experiment.primary}</td>
          <td>{t("experiment.keys_of", { keys: whole(experiment.keys), horizon: whole(experiment.horizon) })}</td>
          <td>{ago(experiment.created_at)}</td>
        </tr>
      ))}
    </Table>
  );
}

export function ExperimentStatus({ of }: { of: Experiment }) {
  return <span class={`status ${isLive(of) ? "running" : of.status}`}>{t(`experiment.${of.status}`)}</span>;
}
