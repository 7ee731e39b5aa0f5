/** Operations: services, queues, who works, streams, and the room that this gateway has; for operators. */
import { useLoaded } from "../api/loaded";
import type { KindCounts, ServiceState, StreamState, SystemStatus, WorkerState } from "../api/operations";
import { ago, bytes, duration, percent, whole } from "../format";
import { named, t, type MessageKey } from "../i18n";
import { Bar } from "../parts/bar";
import { Facts } from "../parts/facts";
import { Empty, Shown } from "../parts/states";
import { Table } from "../parts/table";
import { Alerts } from "./alerts";
import { Capacity } from "./capacity";
import { Findings } from "./findings";

const RELOAD_SECONDS = 15;
const SERVICE_COLUMNS = ["ops.service", "ops.address", "ops.status", "ops.version"] as const;
const QUEUE_COLUMNS = ["ops.kind", "ops.waiting", "ops.running", "ops.oldest"] as const;
const WORKER_COLUMNS = ["ops.worker", "ops.kind", "ops.job", "ops.tenant", "ops.since"] as const;
const STREAM_COLUMNS = ["ops.stream", "ops.messages", "ops.size", "ops.limit", "ops.full"] as const;

export function OperationsPage() {
  const status = useLoaded<SystemStatus>("/v1/status", RELOAD_SECONDS);
  return (
    <>
      <h1>{t("nav.operations")}</h1>
      <Alerts />
      <Findings />
      <Shown of={status}>{(found) => <Found of={found} />}</Shown>
      <Capacity />
    </>
  );
}

function Found({ of }: { of: SystemStatus }) {
  return (
    <>
      <section aria-labelledby="services">
        <h2 id="services">{t("ops.services")}</h2>
        <Services of={of} />
      </section>
      <section aria-labelledby="queues">
        <h2 id="queues">{t("ops.queues")}</h2>
        <Queues kinds={of.jobs} />
      </section>
      <section aria-labelledby="workers">
        <h2 id="workers">{t("ops.workers")}</h2>
        <Workers workers={of.workers} />
      </section>
      <section aria-labelledby="streams">
        <h2 id="streams">{t("ops.streams")}</h2>
        <Streams streams={of.streams} />
      </section>
      <section aria-labelledby="room">
        <h2 id="room">{t("ops.room")}</h2>
        <Room of={of} />
      </section>
    </>
  );
}

function titles(columns: readonly MessageKey[]): string[] {
  return columns.map((key) => t(key));
}

function Services({ of }: { of: SystemStatus }) {
  const own = { service: "gateway", address: t("ops.this_gateway"), status: "serving", version: of.version };
  return (
    <Table labelledBy="services" head={titles(SERVICE_COLUMNS)}>
      {[own, ...of.services].map((each) => (
        <ServiceRow key={`${each.service} ${each.address}`} of={each} release={of.version} />
      ))}
    </Table>
  );
}

function ServiceRow({ of, release }: { of: ServiceState; release: string }) {
  const isOther = of.version !== null && of.version !== release;
  return (
    <tr>
      <th scope="row">{of.service}</th>
      <td>{of.address}</td>
      <td>
        <span class={`status ${of.status}`}>{named("ops.state", of.status)}</span>
      </td>
      <td>{isOther ? t("ops.other_release", { version: of.version ?? "" }) : of.version}</td>
    </tr>
  );
}

function Queues({ kinds }: { kinds: KindCounts[] }) {
  if (kinds.length === 0) return <Empty words={t("ops.no_jobs")} command="mill train MODEL DATASET --name NAME" />;
  return (
    <Table labelledBy="queues" head={titles(QUEUE_COLUMNS)}>
      {kinds.map(({ kind, counts, oldest_seconds }) => (
        <tr key={kind}>
          <th scope="row">{named("kind", kind)}</th>
          <td>{whole(counts.queued ?? 0)}</td>
          <td>{whole(counts.running ?? 0)}</td>
          <td>{oldest_seconds > 0 && duration(oldest_seconds)}</td>
        </tr>
      ))}
    </Table>
  );
}

function Workers({ workers }: { workers: WorkerState[] }) {
  if (workers.length === 0) return <Empty words={t("ops.no_workers")} />;
  return (
    <Table labelledBy="workers" head={titles(WORKER_COLUMNS)}>
      {workers.map(({ worker, kind, job_id, tenant, since }) => (
        <tr key={job_id}>
          <th scope="row">{worker}</th>
          <td>{named("kind", kind)}</td>
          <td>
            <code>{job_id}</code>
          </td>
          <td>{tenant}</td>
          <td>{ago(since)}</td>
        </tr>
      ))}
    </Table>
  );
}

function Streams({ streams }: { streams: StreamState[] }) {
  if (streams.length === 0) return <Empty words={t("ops.no_streams")} command="mill doctor" />;
  return (
    <Table labelledBy="streams" head={titles(STREAM_COLUMNS)}>
      {streams.map((stream) => (
        <StreamRow key={stream.name} of={stream} />
      ))}
    </Table>
  );
}

function StreamRow({ of }: { of: StreamState }) {
  const share = of.limit_bytes ? of.used_bytes / of.limit_bytes : 0;
  return (
    <tr>
      <th scope="row">{of.name}</th>
      <td>{whole(of.messages)}</td>
      <td>{bytes(of.used_bytes)}</td>
      <td>{of.limit_bytes > 0 ? bytes(of.limit_bytes) : t("limit.none")}</td>
      <td class="barred">
        {percent(share)}
        <Bar share={Math.min(share, 1)} />
      </td>
    </tr>
  );
}

function Room({ of }: { of: SystemStatus }) {
  const tokens = whole(of.tokens_in_hand);
  const facts = [
    [t("ops.waiting_requests"), whole(of.waiting_requests)],
    [t("ops.tokens"), of.tokens_limit ? t("ops.tokens_of", { tokens, limit: whole(of.tokens_limit) }) : tokens],
  ] as const;
  return (
    <>
      <Facts facts={facts} />
      <p>
        {t("ops.plan")} <code>mill capacity --rps RATE --p95 MILLISECONDS</code>
      </p>
    </>
  );
}
