/** What evaluations found: figures with intervals, and rows with what each model said of them. */
import type { JsonObject } from "./body_values";
import type { Job } from "./types";

export const SIDES = ["model", "compare_to"] as const;

export interface Estimate {
  value: number;
  low: number;
  high: number;
}

/** One measure; a side is missing where none of its rows was measured. */
export interface Measured {
  model?: Estimate;
  compare_to?: Estimate;
  comparison?: { difference: Estimate; won: number; lost: number; tied: number; is_clear: boolean };
}

export interface MeasuredGroup {
  rows: number;
  measures: Record<string, Measured>;
  /** Those to look at; all without one. */
  shown?: string[];
}

export interface Protection {
  measure: string;
  suite: string;
  slice_by: string;
  slice_value: string;
  passed: boolean;
  why: string;
}

export interface EvaluationSummary {
  models: Record<string, { asked: string; version_id: string }>;
  suites: Record<string, MeasuredGroup>;
  /** The mean over the tasks of a suite, or why there is none. */
  suite: { name: string; metrics: Record<string, string>; mean: Measured; without_mean: string } | null;
  protections: Protection[];
}

/** Groups of rows by slice. */
export type Slices = Record<string, Record<string, MeasuredGroup>>;

export interface EvaluationReport {
  suites: { name: string; shown?: string[]; slices: Slices }[];
}

export interface EvaluationAnswer {
  answer: string | null;
  chosen: string | null;
  scores: Record<string, number>;
  is_right: boolean | null;
}

export interface EvaluationRow {
  id: string;
  suite: string;
  row: string;
  prompt: string | null;
  reference: string;
  model: EvaluationAnswer;
  compare_to: EvaluationAnswer | null;
}

/** What an evaluation found; null of other jobs, and until it has succeeded. */
export function summaryOf(job: Job): EvaluationSummary | null {
  if (job.kind !== "evaluate" || job.status !== "succeeded" || !job.result) return null;
  return job.result.summary as unknown as EvaluationSummary;
}

export function hasSlices(job: Job): boolean {
  const { slices } = job.spec as JsonObject;
  return Array.isArray(slices) && slices.length > 0;
}

export function rowOrder(one: EvaluationRow, other: EvaluationRow): number {
  return lineOf(one) - lineOf(other);
}

function lineOf({ id }: EvaluationRow): number {
  return Number(id.replace("row-", ""));
}

/** Which rows are shown, as the address and the API have it; what is empty or false is left out. */
export const FILTERS = ["wrong", "differs", "text", "suite", "slice_by", "slice_value"] as const;
export type RowFilter = Partial<Record<(typeof FILTERS)[number], string>>;

export function filterOf(query: URLSearchParams): RowFilter {
  return Object.fromEntries(FILTERS.flatMap((name) => (query.get(name) ? [[name, query.get(name) ?? ""]] : [])));
}

export function rowsPath(jobId: string, filter: RowFilter, limit: number): string {
  const asked = new URLSearchParams({ limit: String(limit), ...filter });
  return `/v1/evaluations/${encodeURIComponent(jobId)}/rows?${asked}`;
}
