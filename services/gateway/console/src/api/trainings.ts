/** Fine-tuning: which fields its order has, and the order that a job was. */
import { fieldsOf, type ApiDocument, type BodyField } from "./body_fields";
import type { Json, JsonObject } from "./body_values";
import type { Job } from "./types";

export const TRAININGS = "/v1/fine_tuning/jobs";

/** What a training would take; null is not known. */
export interface TrainingEstimate {
  n_epochs: number | null;
  batch_size: number | null;
  steps: number | null;
  trained_tokens: number | null;
  seconds: number | null;
  earlier_job_ids: string[];
  peak_memory_bytes: number;
  worker_memory_bytes: number;
  waiting_reason: string | null;
  notes: string[];
  note_codes: string[];
}

/** Metrics are null where nothing was reported of the step. */
export interface Checkpoint {
  id: string;
  created_at: number;
  step_number: number;
  /** The model of a job that has succeeded; null of a state to go on from. */
  fine_tuned_model_checkpoint: string | null;
  metrics: { train_loss: number | null; valid_loss: number | null; full_valid_loss: number | null };
}

/** Of which training begins; a build is made of one. */
export const TRAINABLE_FORMS: readonly string[] = ["safetensors", "adapter"];

/** Second names of other fields, and what takes no value. */
const LEFT_OUT = ["method", "hyperparameters.n_epochs", "hyperparameters.search_learning_rate", "integrations"];

/** Fields of the body that are asked for first; the others of it come last. */
const FIRST = ["model", "training_file", "validation_file", "suffix", "training_method", "objective", "teacher"];

export function trainingFields(document: ApiDocument): BodyField[] {
  const found = fieldsOf(document, "FineTuningBody", LEFT_OUT);
  const first = FIRST.flatMap((path) => found.filter((field) => field.path === path));
  const nested = found.filter((field) => field.group);
  const others = found.filter((field) => !field.group && !first.includes(field));
  return [...first, ...nested, ...others.map((field) => ({ ...field, group: "more" }))];
}

/** What an order has and no field shows, such as metadata. */
export function keptOf(order: JsonObject, fields: readonly BodyField[]): JsonObject {
  const isShown = (name: string) => fields.some(({ path }) => path === name || path.startsWith(`${name}.`));
  return Object.fromEntries(Object.entries(order).filter(([name, value]) => value !== null && !isShown(name)));
}

/** The body that orders a job again. Method and values that the trainer filled in are given this time. */
export function orderOf({ spec, priority }: Job): JsonObject {
  const told = spec as JsonObject;
  const { seed, search_learning_rate, ...parameters } = objectIn(told, "hyper_parameters");
  return {
    model: told.adapter_version_id ?? told.base_version_id ?? null,
    training_file: told.dataset_id ?? null,
    validation_file: told.validation_dataset_id ?? null,
    suffix: told.name ?? null,
    training_method: wordIn(told, "method", "TRAINING_METHOD_"),
    objective: wordIn(told, "objective", "TRAINING_OBJECTIVE_"),
    teacher: told.teacher_version_id ?? null,
    teacher_answers: told.teacher_answers ?? null,
    hyperparameters: search_learning_rate ? { ...parameters, learning_rate: "search" } : parameters,
    limits: objectIn(told, "limits"),
    distribution: distributionIn(told),
    seed: seed ?? null,
    // A message leaves out what is false.
    evaluate: told.evaluate ?? false,
    metadata: told.metadata ?? null,
    priority,
  };
}

function objectIn(told: JsonObject, name: string): JsonObject {
  return (told[name] ?? {}) as JsonObject;
}

function wordIn(told: JsonObject, name: string, prefix: string): Json {
  return typeof told[name] === "string" ? told[name].replace(prefix, "").toLowerCase() : null;
}

function distributionIn(told: JsonObject): Json {
  const { distribution } = told;
  if (!distribution) return null;
  return { ...objectIn(told, "distribution"), precision: wordIn(distribution as JsonObject, "precision", "TRAINING_PRECISION_") };
}
