/** Experiments on aliases: what is compared, the evidence, and what was decided. */

export interface Experiment {
  id: string;
  created_at: number;
  alias: string;
  status: "starting" | "running" | "watching" | "promoted" | "rolled_back" | "no_winner" | "stopped";
  /** Why it ended. */
  reason: string | null;
  arms: { name: string; version_id: string; share: number }[];
  primary: string;
  guardrails: string[];
  alpha: number;
  horizon: number;
  window_seconds: number;
  holdback: number;
  /** That this phase has counted. */
  keys: number;
  sample_ratio: number;
  evidence: Evidence[];
  /** Metrics of which nothing is measured yet. */
  missing: string[];
  decisions: Decision[];
  changed_by: string | null;
}

/** E-values of one metric of one candidate, at their largest. */
export interface Evidence {
  candidate: string;
  metric: string;
  base_mean: number | null;
  candidate_mean: number | null;
  base_keys: number;
  candidate_keys: number;
  better: number;
  harmless: number;
  harmful: number;
}

export interface Decision {
  phase: number;
  verdict: "promote" | "roll_back" | "sample_ratio" | "no_winner";
  candidate: string | null;
  metric: string | null;
  evidence: number;
  threshold: number;
  keys: number;
}

export function isLive({ status }: Experiment): boolean {
  return status === "starting" || status === "running" || status === "watching";
}
