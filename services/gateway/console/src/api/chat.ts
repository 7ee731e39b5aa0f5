/** Streamed answers of models, and what the policy said of them. */
import { ApiError, send } from "./client";
import { eventsIn } from "./server_events";
import type { Rule } from "./types";

export interface Turn {
  role: "system" | "user" | "assistant";
  content: string;
}

export interface ChatRequest {
  model: string;
  messages: Turn[];
  temperature: number;
  max_tokens: number;
}

/** What came of a request so far. */
export interface Answer {
  text: string;
  /** Rules of the policy that matched, by the side on which they did. */
  marks: { side: "input" | "output"; isBlocked: boolean; rules: Rule[] }[];
  finishReason: string;
  /** The version that answers. */
  version: string;
}

export const NO_ANSWER: Answer = { text: "", marks: [], finishReason: "", version: "" };

interface Chunk {
  choices?: { delta?: { content?: string }; finish_reason?: string | null }[];
  system_fingerprint?: string;
  moderation?: Record<"input" | "output", { results?: Verdict[] }>;
  error?: { message?: string; code?: string; rules?: Rule[]; request_id?: string };
}

interface Verdict {
  flagged: boolean;
  blocked: boolean;
  rules: Rule[];
}

/** The body of the request, as it may be copied. */
export function bodyOf(request: ChatRequest): object {
  return { ...request, stream: true, moderation: {} };
}

/** The answer as it grows. Throws as `send` does. */
export async function* answers(request: ChatRequest, stop: AbortSignal): AsyncGenerator<Answer> {
  const reply = await send("/v1/chat/completions", { method: "POST", body: bodyOf(request), signal: stop });
  let answer = NO_ANSWER;
  for await (const event of eventsIn(reply)) {
    if (event.data === "[DONE]") return;
    answer = grown(answer, JSON.parse(event.data) as Chunk);
    yield answer;
  }
}

function grown(answer: Answer, chunk: Chunk): Answer {
  if (chunk.error) {
    const { message, code, rules, request_id } = chunk.error;
    throw new ApiError(0, message ?? "", code ?? "", [], rules ?? [], request_id ?? "");
  }
  const choice = chunk.choices?.[0];
  return {
    text: answer.text + (choice?.delta?.content ?? ""),
    marks: [...answer.marks, ...marksIn(chunk)],
    finishReason: choice?.finish_reason ?? answer.finishReason,
    version: chunk.system_fingerprint ?? answer.version,
  };
}

function marksIn({ moderation }: Chunk): Answer["marks"] {
  if (moderation === undefined) return [];
  return (["input", "output"] as const).flatMap((side) =>
    (moderation[side]?.results ?? [])
      .filter((verdict) => verdict.flagged)
      .map((verdict) => ({ side, isBlocked: verdict.blocked, rules: verdict.rules })),
  );
}
