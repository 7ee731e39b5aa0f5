/** Home: what runs, what failed and how to mend it, what is served, and what was used. */
import { useLoaded } from "../api/loaded";
import { UNENDED, isVersion } from "../api/types";
import type { AliasEntry, Job, ModelList, Page, Usage, UsageSums, Version } from "../api/types";
import { useLiveJobs } from "../api/live_jobs";
import { ago, duration, money, whole } from "../format";
import { named, t } from "../i18n";
import { Facts } from "../parts/facts";
import { FailureText, JobLink, JobProgress, StatusMark } from "../parts/job_parts";
import { VersionLink } from "../parts/model_parts";
import { Empty, Shown } from "../parts/states";
import { Table } from "../parts/table";

const RELOAD_SECONDS = 15;
const FAILED_SHOWN = 5;
const USAGE_DAYS = 7;
const SERVED_COLUMNS = ["model.alias", "model.version", "model.name", "model.form", "model.state"] as const;

export function HomePage() {
  const unended = useLoaded<Page<Job>>(`/v1/jobs?status=${UNENDED.join()}&limit=100`, RELOAD_SECONDS);
  const failed = useLoaded<Page<Job>>(`/v1/jobs?status=failed&limit=${FAILED_SHOWN}`, RELOAD_SECONDS);
  const reload = () => (unended.reload(), failed.reload());
  const live = useLiveJobs(unended.data?.data ?? [], reload);
  return (
    <>
      <h1>{t("nav.home")}</h1>
      <section aria-labelledby="running">
        <h2 id="running">{t("home.running")}</h2>
        <Shown of={{ ...unended, data: unended.data && live }}>{(jobs) => <Running jobs={jobs} />}</Shown>
      </section>
      <section aria-labelledby="failed">
        <h2 id="failed">{t("home.failed")}</h2>
        <Shown of={failed}>{(page) => <Failed jobs={page.data} />}</Shown>
      </section>
      <Served />
      <Used />
    </>
  );
}

function Running({ jobs }: { jobs: Job[] }) {
  if (jobs.length === 0) return <Empty words={t("home.nothing_runs")} command="mill train MODEL DATASET --name NAME" />;
  const order = [...jobs].sort((a, b) => UNENDED.indexOf(a.status) - UNENDED.indexOf(b.status));
  return (
    <div class="cards">
      {order.map((job) => (
        <article key={job.id} aria-label={job.id}>
          <header>
            <strong>{named("kind", job.kind)}</strong> <StatusMark job={job} />
          </header>
          <JobProgress job={job} />
          <JobLink job={job} />
          <div>
            <small>{ago(job.created_at)}</small>
          </div>
        </article>
      ))}
    </div>
  );
}

function Failed({ jobs }: { jobs: Job[] }) {
  if (jobs.length === 0) return <Empty words={t("home.nothing_failed")} />;
  return (
    <div class="cards">
      {jobs.map((job) => (
        <article key={job.id} aria-label={job.id}>
          <header>
            <strong>{named("kind", job.kind)}</strong> <StatusMark job={job} />
          </header>
          {job.error && <FailureText failure={job.error} />}
          <JobLink job={job} />
          <div>
            <small>{ago(job.finished_at ?? job.created_at)}</small>
          </div>
        </article>
      ))}
    </div>
  );
}

function Served() {
  const models = useLoaded<ModelList>("/v1/models", RELOAD_SECONDS);
  return (
    <section aria-labelledby="served">
      <h2 id="served">{t("home.served")}</h2>
      <Shown of={models}>{(list) => <ServedTable list={list} />}</Shown>
    </section>
  );
}

function ServedTable({ list }: { list: ModelList }) {
  const versions = new Map(list.data.filter(isVersion).map((each) => [each.id, each]));
  const aliases = list.data.filter((each): each is AliasEntry => !isVersion(each));
  if (aliases.length === 0) return <Empty words={t("home.nothing_served")} command="mill models alias NAME VERSION" />;
  return (
    <Table labelledBy="served" head={SERVED_COLUMNS.map((key) => t(key))}>
      {aliases.map((alias) => (
        <ServedRow key={alias.id} alias={alias} version={versions.get(alias.version_id)} />
      ))}
    </Table>
  );
}

function ServedRow({ alias, version }: { alias: AliasEntry; version: Version | undefined }) {
  return (
    <tr>
      <th scope="row">{alias.id}</th>
      <td>
        <VersionLink id={alias.version_id} />
      </td>
      <td>{version?.name}</td>
      <td>{version?.form}</td>
      <td>{alias.loading ? loading(alias.loading) : t("model.ready")}</td>
    </tr>
  );
}

function loading({ remaining_seconds }: NonNullable<AliasEntry["loading"]>): string {
  return remaining_seconds === null ? t("model.loading") : t("model.loading_left", { time: duration(remaining_seconds) });
}

function Used() {
  const usage = useLoaded<Usage>(`/v1/usage?bucket_width=1d&last=${USAGE_DAYS}`);
  return (
    <section aria-labelledby="used">
      <h2 id="used">{t("home.used", { days: USAGE_DAYS })}</h2>
      <Shown of={usage}>{(page) => <UsedSums sums={page.data.flatMap((bucket) => bucket.results)} />}</Shown>
    </section>
  );
}

function UsedSums({ sums }: { sums: UsageSums[] }) {
  const total = (field: keyof UsageSums) => sums.reduce((sum, each) => sum + each[field], 0);
  const facts = [
    [t("usage.requests"), whole(total("num_model_requests"))],
    [t("usage.input"), whole(total("input_tokens"))],
    [t("usage.output"), whole(total("output_tokens"))],
    [t("usage.cost"), money(total("cost_micros"))],
  ] as const;
  return <Facts facts={facts} />;
}
