/** What earlier trainings of a base have read and taken: what is known before one runs. */
import { useLoaded } from "../api/loaded";
import type { Job, Page } from "../api/types";
import { duration, whole } from "../format";
import { t } from "../i18n";
import { JobLink } from "../parts/job_parts";
import { Table } from "../parts/table";

const LISTED = 100;
const SHOWN = 3;

export function EarlierTrainings({ model }: { model: string }) {
  const jobs = useLoaded<Page<Job>>(`/v1/jobs?kind=train&status=succeeded&limit=${LISTED}`);
  const same = jobs.data?.data.filter(({ spec }) => model !== "" && [spec.base_version_id, spec.adapter_version_id].includes(model)) ?? [];
  if (same.length === 0) return null;
  return (
    <section aria-labelledby="earlier">
      <h2 id="earlier">{t("train.earlier")}</h2>
      <Table labelledBy="earlier" head={[t("job.id"), t("job.tokens"), t("job.took")]}>
        {same.slice(0, SHOWN).map((job) => (
          <tr key={job.id}>
            <th scope="row">
              <JobLink job={job} />
            </th>
            <td>{job.cost.trained_tokens === null ? "" : whole(job.cost.trained_tokens)}</td>
            <td>{job.cost.work_seconds ? duration(job.cost.work_seconds) : ""}</td>
          </tr>
        ))}
      </Table>
    </section>
  );
}
