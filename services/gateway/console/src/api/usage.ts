/** What was used, by day of the browser's own time zone, model and API key. */
import { ask } from "./client";
import { useResult, type Loaded } from "./loaded";
import type { UsageSums } from "./types";

/** Hours that one request tells. */
const HOURS = 168;

/** Lengths of a period in days; the longest takes four requests. The first is that of `mill usage`. */
export const PERIODS = [7, 14, 28] as const;

export interface UsedRow extends UsageSums {
  /** Where the day begins, in Unix seconds. */
  day: number;
  /** The version that answered; null where none did. */
  model: string | null;
  /** Null for requests that came with a token. */
  api_key_id: string | null;
}

interface UsagePage {
  data: { start_time: number; results: (UsageSums & Pick<UsedRow, "model" | "api_key_id">)[] }[];
  next_page: string | null;
}

/** Sums that also tell how fast requests were answered, and how many failed. */
export interface AnswerSums extends UsageSums {
  num_failed_requests: number;
  num_timed_requests: number;
  first_token_seconds: number;
  generation_seconds: number;
  generated_tokens: number;
}

/** By UTC days and the version that answered; null where none did. */
export interface AnswerUsage {
  data: { start_time: number; results: (AnswerSums & { model: string | null })[] }[];
}

/** Latest days that tell how it goes now: one alone has just begun at midnight. */
const RECENT_DAYS = 2;

/** What versions answered since yesterday, by their ids. */
export function sumsByVersion({ data }: AnswerUsage): Map<string | null, AnswerSums> {
  const found = new Map<string | null, AnswerSums>();
  for (const { model, ...sums } of data.slice(-RECENT_DAYS).flatMap((day) => day.results)) {
    const old = found.get(model);
    found.set(model, old ? withMore(old, sums) : sums);
  }
  return found;
}

function withMore(one: AnswerSums, other: AnswerSums): AnswerSums {
  return {
    ...added(one, other),
    num_failed_requests: one.num_failed_requests + other.num_failed_requests,
    num_timed_requests: one.num_timed_requests + other.num_timed_requests,
    first_token_seconds: one.first_token_seconds + other.first_token_seconds,
    generation_seconds: one.generation_seconds + other.generation_seconds,
    generated_tokens: one.generated_tokens + other.generated_tokens,
  };
}

/** The mean; null where no first token came. */
export function firstTokenMs({ first_token_seconds, num_timed_requests }: AnswerSums): number | null {
  return num_timed_requests > 0 ? (1000 * first_token_seconds) / num_timed_requests : null;
}

/** Tokens per second of an answer, from its first token on; null where none had two. */
export function tokenSpeed({ generated_tokens, generation_seconds }: AnswerSums): number | null {
  return generated_tokens > 0 && generation_seconds > 0 ? generated_tokens / generation_seconds : null;
}

export function errorRate({ num_failed_requests, num_model_requests }: AnswerSums): number {
  return num_model_requests > 0 ? num_failed_requests / num_model_requests : 0;
}

export function useUsedRows(days: number): Loaded<UsedRow[]> {
  return useResult(`usage of ${days} days`, (stop) => usedRows(days, stop));
}

/** Where the days of a period begin, oldest first; the last is today. */
export function daysOf(period: number): number[] {
  return Array.from({ length: period }, (_, n) => {
    const day = new Date();
    day.setHours(0, 0, 0, 0);
    day.setDate(day.getDate() - (period - 1 - n));
    return day.getTime() / 1000;
  });
}

/** Days of UTC would part days elsewhere, so hours are asked for; one counts to the day in which it begins. */
async function usedRows(days: number, stop: AbortSignal): Promise<UsedRow[]> {
  const rows = new Map<string, UsedRow>();
  const asked = { bucket_width: "1h", limit: String(HOURS), group_by: "model,api_key_id", start_time: String(daysOf(days)[0]) };
  for (let page: string | null = ""; page !== null; ) {
    const query = new URLSearchParams(page ? { ...asked, page } : asked);
    const found: UsagePage = await ask<UsagePage>(`/v1/usage?${query}`, { signal: stop });
    for (const { start_time, results } of found.data) {
      for (const { model, api_key_id, ...sums } of results) {
        const day = dayOf(start_time);
        const id = JSON.stringify([day, model, api_key_id]);
        rows.set(id, { ...added(rows.get(id) ?? NOTHING, sums), day, model, api_key_id });
      }
    }
    page = found.next_page;
  }
  return [...rows.values()];
}

function dayOf(unixSeconds: number): number {
  return new Date(unixSeconds * 1000).setHours(0, 0, 0, 0) / 1000;
}

export const NOTHING: UsageSums = { num_model_requests: 0, input_tokens: 0, output_tokens: 0, cost_micros: 0 };
export const MEASURES = ["num_model_requests", "input_tokens", "output_tokens", "cost_micros"] as const;
export type Measure = (typeof MEASURES)[number];

/** Sums of the rows by a value of theirs, in the order in which values first come. */
export function sumsBy<K>(rows: readonly UsedRow[], valueOf: (row: UsedRow) => K): Map<K, UsageSums> {
  const sums = new Map<K, UsageSums>();
  for (const row of rows) sums.set(valueOf(row), added(sums.get(valueOf(row)) ?? NOTHING, row));
  return sums;
}

function added(one: UsageSums, other: UsageSums): UsageSums {
  return {
    num_model_requests: one.num_model_requests + other.num_model_requests,
    input_tokens: one.input_tokens + other.input_tokens,
    output_tokens: one.output_tokens + other.output_tokens,
    cost_micros: one.cost_micros + other.cost_micros,
  };
}

/** A line for each day, model and key. */
export function asCsv(rows: readonly UsedRow[]): string {
  const lines = [...rows]
    .sort((a, b) => a.day - b.day)
    .map((row) => [isoDay(row.day), row.model ?? "", row.api_key_id ?? "", ...MEASURES.map((measure) => row[measure])]);
  return [["day", "model", "api_key_id", ...MEASURES], ...lines].map((line) => `${line.map(quoted).join(",")}\r\n`).join("");
}

function isoDay(unixSeconds: number): string {
  const day = new Date(unixSeconds * 1000);
  const [month, date] = [day.getMonth() + 1, day.getDate()].map((part) => String(part).padStart(2, "0"));
  return `${day.getFullYear()}-${month}-${date}`;
}

function quoted(value: string | number): string {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
