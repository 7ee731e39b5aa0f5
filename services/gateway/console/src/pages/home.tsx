/** Home: what runs, what failed and how to mend it, what is served, and what was used. */
import { useLoaded, type Loaded } from "../api/loaded";
import { UNENDED, type Job, type Page, type UsageSums } from "../api/types";
import type { AnswerUsage } from "../api/usage";
import { useLiveJobs } from "../api/live_jobs";
import { ago, money, whole } from "../format";
import { named, t } from "../i18n";
import { Facts } from "../parts/facts";
import { FailureText, JobLink, JobProgress, StatusMark } from "../parts/job_parts";
import { Empty, Shown } from "../parts/states";
import { Served } from "./served";

const RELOAD_SECONDS = 15;
const FAILED_SHOWN = 5;
const USAGE_DAYS = 7;
const USAGE_RELOAD_SECONDS = 60;

export function HomePage() {
  const unended = useLoaded<Page<Job>>(`/v1/jobs?status=${UNENDED.join()}&limit=100`, RELOAD_SECONDS);
  const failed = useLoaded<Page<Job>>(`/v1/jobs?status=failed&limit=${FAILED_SHOWN}`, RELOAD_SECONDS);
  const reload = () => (unended.reload(), failed.reload());
  const usage = useLoaded<AnswerUsage>(`/v1/usage?bucket_width=1d&last=${USAGE_DAYS}&group_by=model`, USAGE_RELOAD_SECONDS);
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
      <Served usage={usage} />
      <Used usage={usage} />
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

function Used({ usage }: { usage: Loaded<AnswerUsage> }) {
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
