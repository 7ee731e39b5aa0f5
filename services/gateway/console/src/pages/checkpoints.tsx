/** What a training has saved: states to go on from, or the model that came of it. */
import { useLoaded } from "../api/loaded";
import type { Checkpoint } from "../api/trainings";
import type { Job, Page } from "../api/types";
import { figure, when, whole } from "../format";
import { t } from "../i18n";
import { VersionLink } from "../parts/model_parts";
import { Empty, Shown } from "../parts/states";
import { Table } from "../parts/table";

const RELOAD_SECONDS = 15;
const COLUMNS = ["ckpt.step", "ckpt.saved", "ckpt.train_loss", "chart.valid_loss", "job.made"] as const;

export function Checkpoints({ job }: { job: Job }) {
  // Before the first one there is nothing to ask for.
  const isSaved = job.checkpoint_step !== null || job.status === "succeeded";
  return job.kind === "train" && isSaved ? <Saved jobId={job.id} /> : null;
}

function Saved({ jobId }: { jobId: string }) {
  const found = useLoaded<Page<Checkpoint>>(`/v1/fine_tuning/jobs/${encodeURIComponent(jobId)}/checkpoints`, RELOAD_SECONDS);
  return (
    <section aria-labelledby="checkpoints">
      <h2 id="checkpoints">{t("ckpt.title")}</h2>
      <p>{t("ckpt.about")}</p>
      <Shown of={found}>{({ data }) => <CheckpointTable checkpoints={data} />}</Shown>
    </section>
  );
}

function CheckpointTable({ checkpoints }: { checkpoints: Checkpoint[] }) {
  if (checkpoints.length === 0) return <Empty words={t("ckpt.none")} />;
  return (
    <Table labelledBy="checkpoints" head={COLUMNS.map((key) => t(key))}>
      {checkpoints.map(({ id, step_number, created_at, metrics, fine_tuned_model_checkpoint }) => (
        <tr key={id}>
          <th scope="row">{whole(step_number)}</th>
          <td>{when(created_at)}</td>
          <td>{shown(metrics.train_loss)}</td>
          <td>{shown(metrics.full_valid_loss ?? metrics.valid_loss)}</td>
          <td>{fine_tuned_model_checkpoint && <VersionLink id={fine_tuned_model_checkpoint} />}</td>
        </tr>
      ))}
    </Table>
  );
}

function shown(loss: number | null): string {
  return loss === null ? t("cap.unknown") : figure(loss);
}
