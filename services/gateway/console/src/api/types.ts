/** The fields of the public API that the console reads; `/openapi.json` describes all. */

export interface Page<T> {
  data: T[];
  has_more: boolean;
  last_id: string | null;
}

export type Status = "queued" | "running" | "paused" | "succeeded" | "failed" | "cancelled";
export const UNENDED: readonly Status[] = ["running", "paused", "queued"];

export interface Job {
  id: string;
  kind: string;
  status: Status;
  desired_state: "run" | "pause" | "cancel";
  created_at: number;
  started_at: number | null;
  finished_at: number | null;
  requested_by: string;
  priority: string;
  queue_position: number | null;
  waiting_reason: string | null;
  attempt: number;
  checkpoint_step: number | null;
  cost: { work_seconds: number; attempts: number; trained_tokens: number | null };
  progress: Progress | null;
  result: { version_id: string | null; summary: Record<string, unknown> } | null;
  error: Failure | null;
  spec: Record<string, unknown>;
}

export interface Progress {
  phase: string;
  done: number;
  total: number;
  unit: string;
  eta_seconds: number | null;
  metrics: Record<string, number>;
  at: number;
}

export interface Failure {
  code: string;
  message: string;
  remedy: string;
  log_tail: string;
}

export interface JobEvent {
  id: string;
  created_at: number;
  level: "info" | "warn" | "error";
  message: string;
  type: "metrics" | "message";
  data: Record<string, unknown>;
}

/** Metrics of a job by step; of each stretch of steps the lowest and the highest value are among the points. */
export interface JobMetrics {
  is_complete: boolean;
  series: { name: string; phase: string; total: number; steps: number[]; values: number[] }[];
}

export interface Loading {
  elapsed_seconds: number;
  remaining_seconds: number | null;
}

/** An alias as `/v1/models` lists it: a name and the version behind it. */
export interface AliasEntry {
  id: string;
  created: number;
  version_id: string;
  loading: Loading | null;
}

export interface Version {
  id: string;
  /** `shared` for one that every tenant sees. */
  owned_by: string;
  created: number;
  name: string;
  form: string;
  parent_version_id: string | null;
  base_version_id: string | null;
  job_id: string | null;
  dataset_id: string | null;
  size_bytes: number;
  context_tokens: number;
  metrics: Record<string, number>;
  loading: Loading | null;
  /** What the engine that loaded it last can do; null until one has. */
  capabilities: { logprobs: boolean; top_logprobs: number } | null;
}

export interface ModelList {
  data: (AliasEntry | Version)[];
}

export function isVersion(entry: AliasEntry | Version): entry is Version {
  return "form" in entry;
}

export interface Alias {
  id: string;
  version_id: string;
  /** `shared` for one that every tenant sees. */
  owned_by: string;
  moved_by: string;
  moved_at: number;
  variants?: { name: string; version_id: string; weight: number }[] | null;
  shadow?: { version_id: string; share: number } | null;
  fallback?: string[] | null;
  /** Whether requests and answers are logged. */
  store?: boolean | null;
}

export interface Usage {
  data: { start_time: number; results: UsageSums[] }[];
}

export interface UsageSums {
  input_tokens: number;
  output_tokens: number;
  num_model_requests: number;
  cost_micros: number;
}

export interface Rule {
  id: string;
  category: string;
}

export interface DatasetPreview {
  columns: string[];
  reading: Record<string, string>;
  mapping: { layout: string | null; system_template: string | null; user_template: string | null; answer_template: string | null };
  data: PreviewedRow[];
}

export interface DatasetRow {
  messages?: { role: string; content: string }[];
  [field: string]: unknown;
}

export interface PreviewedRow {
  line: number;
  row: DatasetRow | null;
  reason: string | null;
}

export interface StoredFile {
  id: string;
  filename: string;
  bytes: number;
  purpose: string;
  created_at: number;
}

export interface Dataset {
  id: string;
  status: Status | "ready";
  name: string | null;
  file_ids: string[];
  job_id: string;
  counts: Record<string, number>;
  created_at: number;
  error: Failure | null;
}
