/** Limits of a key or a tenant, what is used of them, and how people write them into a form. */

export interface Limits {
  requests_per_minute: number | null;
  tokens_per_minute: number | null;
  parallel_requests: number | null;
  tokens: number | null;
  /** A decimal number in text, in the operator's currency. */
  money: string | null;
  period: "day" | "month" | null;
}

/** What is settled in the period, and what processes hold of the budget on top, used or not. */
export interface BudgetUsage {
  tokens: number;
  money: string;
  leased_tokens: number;
  leased_money: string;
  period_start: number | null;
}

export const LIMIT_NAMES = ["requests_per_minute", "tokens_per_minute", "parallel_requests", "tokens", "money"] as const;

/** Empty where there is no limit. */
export type WrittenLimits = Record<keyof Limits, string>;

export const NO_LIMITS: WrittenLimits = {
  requests_per_minute: "",
  tokens_per_minute: "",
  parallel_requests: "",
  tokens: "",
  money: "",
  period: "",
};

export function writtenLimits(limits: Limits): WrittenLimits {
  const written = Object.entries(limits).map(([name, value]) => [name, value === null ? "" : String(value)]);
  return { ...NO_LIMITS, ...(Object.fromEntries(written) as Partial<WrittenLimits>) };
}

/** As the API takes them: what is absent has no limit, and a period is one of tokens or money. */
export function limitsBody(written: WrittenLimits): Partial<Limits> {
  const { money, period, ...numbers } = written;
  const given = Object.entries(numbers).filter(([, value]) => value !== "");
  const body: Partial<Limits> = Object.fromEntries(given.map(([name, value]) => [name, Number(value)]));
  if (money !== "") body.money = money;
  if (period !== "" && (money !== "" || written.tokens !== "")) body.period = period as "day" | "month";
  return body;
}
