/** What people say of an answer: good or bad, and what would have been right. */
import { ask } from "./client";

/** Characters of a corrected answer. */
export const MOST_CORRECTED = 8_192;

export type Score = 1 | -1;

export interface AnswerOpinion {
  score?: Score;
  correction?: string;
}

export interface SentFeedback extends AnswerOpinion {
  id: string;
}

/**
 * Record it, once under one key.
 *
 * @throws as `ask` does.
 */
export async function sendFeedback(body: AnswerOpinion & { request_id: string }, key: string): Promise<SentFeedback> {
  const headers = { "idempotency-key": key };
  const { id } = await ask<{ id: string }>("/v1/feedback", { method: "POST", body, headers });
  const { request_id: _, ...opinion } = body;
  return { ...opinion, id };
}
