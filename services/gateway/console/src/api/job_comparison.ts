/** Jobs side by side, as `/v1/jobs/{id}/comparison` has them. */
import { useRef } from "preact/hooks";
import { useLoaded, type Loaded } from "./loaded";
import type { Figures, Line, StepRange } from "./job_metrics";
import { UNENDED, type Job, type JobMetrics } from "./types";

export const MOST_COMPARED = 10;
/** Of each line: two for each pixel of a chart as wide as a quarter of a screen. */
const POINTS = 500;
const RELOAD_SECONDS = 15;
const LOSSES = ["loss", "valid_loss"];
const TRAINING = "train";

export interface ComparedDataset {
  id: string;
  name: string | null;
  digest: string | null;
  counts: Record<string, number> | null;
  is_deleted: boolean;
}

export interface ComparedJob {
  job: Job;
  dataset: ComparedDataset | null;
  is_complete: boolean;
  series: JobMetrics["series"];
}

export interface ComparedSetting {
  path: string;
  differs: boolean;
  values: unknown[];
}

export interface ScoreEstimate {
  value: number;
  low: number | null;
  high: number | null;
}

export interface JobComparison {
  jobs: ComparedJob[];
  settings: ComparedSetting[];
  scores: { name: string; values: (ScoreEstimate | null)[] }[];
}

/** The jobs with these ids; what was there stays while the lines of other steps are on their way. */
export function useComparison(ids: readonly string[], range: StepRange | null): Loaded<JobComparison> {
  const held = useRef<JobComparison | null>(null);
  const isGoingOn = held.current?.jobs.some(({ job }) => UNENDED.includes(job.status)) ?? false;
  const loaded = useLoaded<JobComparison>(pathOf(ids, range), isGoingOn ? RELOAD_SECONDS : 0);
  held.current = loaded.data ?? held.current;
  return { ...loaded, data: held.current };
}

function pathOf([first = "", ...others]: readonly string[], range: StepRange | null): string {
  const asked = new URLSearchParams({ points: String(POINTS) });
  for (const other of others) asked.append("other", other);
  for (const name of LOSSES) asked.append("name", name);
  if (range !== null) asked.set("from_step", String(range.first));
  if (range !== null && range.last !== null) asked.set("to_step", String(range.last));
  return `/v1/jobs/${encodeURIComponent(first)}/comparison?${asked}`;
}

/** One metric of all jobs that have it, by the names of the jobs. */
export function linesOf(metric: string, jobs: readonly ComparedJob[], names: readonly string[]): Figures {
  const lines = new Map<string, Line>();
  jobs.forEach(({ series }, n) => {
    const found = series.find(({ name, phase }) => name === metric && phase === TRAINING);
    if (found) lines.set(names[n] ?? "", found);
  });
  return lines;
}
