/** What was found in a dataset, as its report in JSON has it; a failed one lacks what was not reached. */

export type Counts = Record<string, number>;

export interface RowSample {
  /** Line of the source file, or file and line in one number. */
  line: number;
  text: string;
  detail: string | null;
}

export interface DatasetReport {
  stages?: Record<string, { rows_in: number; rows_changed: number; rows_dropped: number }>;
  /** Removed rows by outcome and rule. */
  rules?: Record<string, Counts>;
  samples?: Record<string, RowSample[]>;
  languages?: Counts;
  difficulty?: Counts;
  /** Null where rows do not choose among few. */
  choices?: Counts | null;
  entities?: Counts;
  contaminated?: Counts;
  characters?: { histogram: Counts };
  tokens?: { histogram: Counts };
  duplicates?: { kept: number; dropped: number[]; dropped_count: number }[];
}

export interface RowProvenance {
  line: number;
  file_id: string | null;
  outcome: "kept" | "dropped" | "quarantined";
  rule: string | null;
  detail: string | null;
  /** Transforms that changed it, in order. */
  changes: string[];
  /** What made it from its source row; null of a row as given. */
  made_by: string | null;
  split: string | null;
  /** From 0. */
  position: number | null;
  row: Record<string, unknown> | null;
}

/** Above the lines of any file: a row of the second of several files is 2e12 and its line. */
const FILE_STEP = 1e12;

/** Number of the file, from 1, or 0 in a dataset of one; and the line in it. */
export function fileAndLine(number: number): [number, number] {
  return [Math.floor(number / FILE_STEP), number % FILE_STEP];
}
