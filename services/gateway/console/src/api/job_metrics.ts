/** A job's metrics by step: loaded in as many points as a chart can show, and continued by its events. */
import { useEffect, useState } from "preact/hooks";
import { UnreachableError, ask, isReached } from "./client";
import type { JobHistory, Tail } from "./job_history";
import type { JobMetrics } from "./types";

/** Two for each of a thousand pixels: the lowest and the highest value there. */
const POINTS = 2000;
const TRAINING = "train";

/** Both ends are included; without a last one it goes on to the end. */
export interface StepRange {
  first: number;
  last: number | null;
}

/** Points of one metric, by ascending step. */
export interface Line {
  steps: readonly number[];
  values: readonly number[];
  /** How many points there are in the range; what is not drawn lies between the extremes that are. */
  total: number;
}

/** Lines by the name of the metric; those of phases other than training have the phase in front. */
export type Figures = ReadonlyMap<string, Line>;

export interface LoadedFigures {
  /** The last that came, also while those of another range are on their way. */
  figures: Figures;
  error: unknown;
  /** False where the gateway could not read earlier steps. */
  isComplete: boolean;
}

/** The figures of a job, of some steps or of all. */
export function useJobFigures(jobId: string, range: StepRange | null, history: JobHistory): LoadedFigures {
  const [found, setFound] = useState<{ metrics: JobMetrics | null; error: unknown }>({ metrics: null, error: null });
  const [again, setAgain] = useState(0);
  const path = pathOf(jobId, range);
  const isMissed = isReached.value && found.error instanceof UnreachableError;

  useEffect(() => {
    // What is behind the events that have come is in these: nothing is lost between the two.
    if (!history.isBegun) return;
    const stop = new AbortController();
    ask<JobMetrics>(path, { signal: stop.signal }).then(
      (metrics) => setFound({ metrics, error: null }),
      (error: unknown) => stop.signal.aborted || setFound((old) => ({ ...old, error })),
    );
    return () => stop.abort();
  }, [path, history.isBegun, history.round, again]);

  useEffect(() => {
    if (isMissed) setAgain((old) => old + 1);
  }, [isMissed]);

  const figures = joined(found.metrics, history.tail, range);
  return { figures, error: found.error, isComplete: found.metrics?.is_complete ?? true };
}

export function nameOf(phase: string, name: string): string {
  return phase === TRAINING ? name : `${phase} ${name}`;
}

function pathOf(jobId: string, range: StepRange | null): string {
  const from = range === null ? "" : `&from_step=${range.first}`;
  const to = range === null || range.last === null ? "" : `&to_step=${range.last}`;
  return `/v1/jobs/${encodeURIComponent(jobId)}/metrics?points=${POINTS}${from}${to}`;
}

function joined(metrics: JobMetrics | null, tail: Tail, range: StepRange | null): Figures {
  const figures = new Map<string, Line>();
  if (metrics === null) return figures;
  for (const { phase, name, total, steps, values } of metrics.series) {
    figures.set(nameOf(phase, name), { total, steps, values });
  }
  for (const [name, points] of tail) {
    const line = figures.get(name) ?? { total: 0, steps: [], values: [] };
    const newest = line.steps.at(-1) ?? -1;
    const newer = [...points].filter(([step]) => step > newest && isIn(step, range)).sort(([a], [b]) => a - b);
    if (newer.length === 0) continue;
    figures.set(name, {
      total: line.total + newer.length,
      steps: [...line.steps, ...newer.map(([step]) => step)],
      values: [...line.values, ...newer.map(([, value]) => value)],
    });
  }
  return figures;
}

function isIn(step: number, range: StepRange | null): boolean {
  return range === null || (step >= range.first && step <= (range.last ?? Infinity));
}
