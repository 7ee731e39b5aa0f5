/** Two datasets side by side, as `/v1/datasets/{id}/comparison/{other}` has them, and rows of one alone. */
import type { ComparedSetting } from "./job_comparison";
import { useLoaded, type Loaded } from "./loaded";
import { useListOf, type LongList } from "./pages";
import type { DatasetRow } from "./types";

export const PERCENTS = [5, 25, 50, 75, 95] as const;
const PAGE_ROWS = 20;
const NEVER = 0;

export type Lengths = Record<`p${(typeof PERCENTS)[number]}`, number>;

export interface DatasetSide {
  id: string;
  name: string | null;
  digest: string;
  rows: number;
  rows_unshared: number;
  tokens: Lengths;
  characters: Lengths;
  rows_measured: number;
}

export interface ComparedCount {
  name: string;
  values: number[];
}

export const COUNTED = ["unshared", "removed", "languages", "labels", "entities"] as const;

export interface DatasetComparison extends Record<(typeof COUNTED)[number], ComparedCount[]> {
  same: boolean;
  rows_common: number;
  rows_moved: number;
  datasets: DatasetSide[];
  counts: ComparedCount[];
  settings: ComparedSetting[];
}

export interface UnsharedRow {
  id: string;
  /** What the other dataset made of its source row. */
  because: string;
  row: DatasetRow;
  other_row: DatasetRow | null;
}

export function useDatasetComparison(id: string, other: string): Loaded<DatasetComparison> {
  return useLoaded<DatasetComparison>(pathOf(id, other));
}

/** Rows of the first that the other does not have. */
export function useUnsharedRows(id: string, other: string): LongList<UnsharedRow> {
  return useListOf<UnsharedRow>(`${pathOf(id, other)}/rows?limit=${PAGE_ROWS}`, byNumber, NEVER);
}

function pathOf(id: string, other: string): string {
  return `/v1/datasets/${encodeURIComponent(id)}/comparison/${encodeURIComponent(other)}`;
}

function byNumber(one: UnsharedRow, other: UnsharedRow): number {
  return numberOf(one) - numberOf(other);
}

function numberOf({ id }: UnsharedRow): number {
  return Number(id.replace("row-", ""));
}
