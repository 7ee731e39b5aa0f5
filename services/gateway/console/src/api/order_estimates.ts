/** Evaluations and builds: which fields their orders have, and what one would take; null is not known. */
import { fieldsOf, type ApiDocument, type BodyField } from "./body_fields";
import type { JsonObject } from "./body_values";
import type { Job } from "./types";

export const EVALUATIONS = "/v1/evaluations";
export const BUILDS = "/v1/optimizations";

interface OrderEstimate {
  seconds: number | null;
  earlier_job_ids: string[];
  needed_memory_bytes: number;
  worker_memory_bytes: number;
  waiting_reason: string | null;
  notes: string[];
  note_codes: string[];
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

/** The body that orders an evaluation again; what the trainer has filled in is given this time. */
export function evaluationAgain({ spec, priority }: Job): JsonObject {
  return { ...(spec as JsonObject), priority };
}

/** The body that orders a build or a search again. A search has no form, which the default would give it. */
export function buildAgain({ spec, priority }: Job): JsonObject {
  const { source_version_id, ...rest } = spec as JsonObject;
  return { ...rest, model: source_version_id ?? null, priority };
}
