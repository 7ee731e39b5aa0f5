/** The installation as operators see it: services, queues, workers and streams. */

export interface ServiceState {
  service: string;
  address: string;
  status: string;
  /** Null for one that does not answer. */
  version: string | null;
}

export interface KindCounts {
  kind: string;
  counts: Record<string, number>;
  oldest_seconds: number;
}

export interface WorkerState {
  worker: string;
  kind: string;
  job_id: string;
  tenant: string;
  since: number;
}

export interface StreamState {
  name: string;
  messages: number;
  used_bytes: number;
  /** 0 for one without a limit. */
  limit_bytes: number;
}

/** What a check has found. */
export interface Finding {
  check: string;
  severity: "error" | "warning";
  problem: string;
  remedy: string;
}

/** An alert of the installation's Prometheus. */
export interface Alert {
  name: string;
  state: string;
  severity: string | null;
  summary: string;
  remedy: string | null;
  runbook_url: string | null;
  since: number | null;
  labels: Record<string, string>;
}

export interface SystemStatus {
  version: string;
  services: ServiceState[];
  jobs: KindCounts[];
  workers: WorkerState[];
  /** None while the broker is away. */
  streams: StreamState[];
  waiting_requests: number;
  tokens_in_hand: number;
  /** 0 where there is none. */
  tokens_limit: number;
}
