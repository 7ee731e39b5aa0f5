/** Evaluations and builds: which fields their orders have, and what one would take; null is not known. */
import { fieldsOf, type ApiDocument, type BodyField } from "./body_fields";

export const EVALUATIONS = "/v1/evaluations";
export const BUILDS = "/v1/optimizations";

interface OrderEstimate {
  seconds: number | null;
  earlier_job_ids: string[];
  needed_memory_bytes: number;
  worker_memory_bytes: number;
  waiting_reason: string | null;
  notes: string[];
}

export interface EvaluationEstimate extends OrderEstimate {
  rows: number | null;
  most_rows: number;
}

export interface BuildEstimate extends OrderEstimate {
  /** Null for a search. */
  target_form: string | null;
  test_rows: number;
  built_bytes: number | null;
  most_seconds: number | null;
}

/** Those asked for first; the others of the body come last. */
const FIRST = ["model", "compare_to", "dataset_id", "target_form", "measures", "split"];

export function evaluationFields(document: ApiDocument): BodyField[] {
  return inOrder(fieldsOf(document, "EvaluationBody", []));
}

export function buildFields(document: ApiDocument): BodyField[] {
  return inOrder(fieldsOf(document, "OptimizationBody", []));
}

function inOrder(found: BodyField[]): BodyField[] {
  const first = FIRST.flatMap((path) => found.filter((field) => field.path === path));
  const nested = found.filter((field) => field.group);
  const others = found.filter((field) => !field.group && !first.includes(field));
  return [...first, ...nested, ...others.map((field) => ({ ...field, group: "more" }))];
}
