/** Forms of a model side by side, as `/v1/models/{model}/forms` and a search's `/candidates` have them. */
import type { ScoreEstimate } from "./job_comparison";

/** What forms are compared by. */
export interface Measure {
  name: string;
  /** "share" for what is a part of 1; empty for a price. */
  unit: string;
  higher_is_better: boolean;
}

export interface CandidateForm {
  form: string;
  version_id: string | null;
  costs: Record<string, ScoreEstimate>;
  losses: Record<string, ScoreEstimate>;
  /** By cost the losses with which no other form beats it in both. */
  frontier: Record<string, string[]>;
  is_chosen: boolean;
  refusal: { code: string; reason: string } | null;
}

export interface FormComparison {
  costs: Measure[];
  losses: Measure[];
  data: CandidateForm[];
  objective: { name: string; value: number; bound: "at_most" | "at_least" } | null;
  max_accuracy_loss: number | null;
  load: Record<string, number>;
  dataset_id: string | null;
  verdict: string | null;
  reason: string | null;
}

/** The loss that a search limits. */
export const LIMITED_LOSS = "accuracy_loss";

/** A form with its place in a chart of two measures. */
export interface PlacedForm {
  /** By which the table names it, from 1. */
  number: number;
  of: CandidateForm;
  cost: ScoreEstimate | null;
  loss: ScoreEstimate | null;
  isOnFrontier: boolean;
}

export function placed(forms: readonly CandidateForm[], cost: string, loss: string): PlacedForm[] {
  return forms.map((of, n) => ({
    number: n + 1,
    of,
    cost: of.costs[cost] ?? null,
    loss: of.losses[loss] ?? null,
    isOnFrontier: of.frontier[cost]?.includes(loss) ?? false,
  }));
}
