/** Streamed answers of models, how fast they came, and what the policy said of them. */
import { ApiError, send } from "./client";
import { eventsIn } from "./server_events";
import type { LogprobToken } from "./token_probabilities";
import type { Rule } from "./types";

export interface Turn {
  role: "system" | "user" | "assistant";
  content: string;
}

/** A turn as it is shown: a model's with all that came with it. */
export interface Told extends Turn {
  answer: Answer | null;
}

export interface ChatRequest {
  model: string;
  messages: Turn[];
  temperature: number;
  max_tokens: number;
  top_p?: number;
  seed?: number;
  stop?: string[];
  tools?: unknown[];
  response_format?: object;
  logprobs?: true;
  top_logprobs?: number;
}

export interface ToolCall {
  name: string;
  arguments: string;
}

/** What came of a request so far. */
export interface Answer {
  text: string;
  /** Tools that the model asks for; nobody runs them here. */
  calls: readonly ToolCall[];
  /** Rules of the policy that matched, by the side on which they did. */
  marks: { side: "input" | "output"; isBlocked: boolean; rules: Rule[] }[];
  finishReason: string;
  /** The version that answers. */
  version: string;
  /** Under which feedback is given. */
  requestId: string;
  /** From the question to the first text or call, as it was seen here; null before that. */
  firstTokenMs: number | null;
  /** To its end; null before that, and where it was stopped. */
  totalMs: number | null;
  /** Tokens of the answer, known at its end. */
  tokens: number | null;
  /** How likely each was; null where nobody asked. */
  logprobs: readonly LogprobToken[] | null;
}

export const NO_ANSWER: Answer = {
  ...{ text: "", calls: [], marks: [], finishReason: "", version: "", requestId: "" },
  ...{ firstTokenMs: null, totalMs: null, tokens: null, logprobs: null },
};

interface CallPart {
  index: number;
  function?: { name?: string; arguments?: string };
}

interface ChunkChoice {
  delta?: { content?: string; tool_calls?: CallPart[] };
  logprobs?: { content: LogprobToken[] } | null;
  finish_reason?: string | null;
}

interface Chunk {
  choices?: ChunkChoice[];
  system_fingerprint?: string;
  usage?: { completion_tokens: number } | null;
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
  return { ...request, stream: true, stream_options: { include_usage: true }, moderation: {} };
}

/** The answer as it grows. Throws as `send` does. */
export async function* answers(request: ChatRequest, stop: AbortSignal): AsyncGenerator<Answer> {
  const start = performance.now();
  const reply = await send("/v1/chat/completions", { method: "POST", body: bodyOf(request), signal: stop });
  const requestId = reply.headers.get("x-request-id") ?? "";
  let answer: Answer = { ...NO_ANSWER, requestId, logprobs: request.logprobs ? [] : null };
  for await (const event of eventsIn(reply)) {
    if (event.data === "[DONE]") return;
    answer = grown(answer, JSON.parse(event.data) as Chunk, performance.now() - start);
    yield answer;
  }
}

/** How an answer ended. */
export interface Ending {
  /** As far as it came; null where nothing came. */
  said: Answer | null;
  /** Null also for one that was stopped. */
  error: unknown;
}

/** An answer to its end, each state of it told as it grows. */
export async function tell(request: ChatRequest, stop: AbortSignal, grow: (answer: Answer) => void): Promise<Ending> {
  let said: Answer | null = null;
  try {
    for await (const answer of answers(request, stop)) {
      said = answer;
      grow(answer);
    }
    return { said, error: null };
  } catch (error) {
    return { said, error: stop.aborted ? null : error };
  }
}

/** Both sides of a question as turns of the talk. What a model called stands for what it did not say. */
export function turnsOf(question: string, said: Answer): Told[] {
  const calls = said.calls.map((call) => `${call.name}(${call.arguments})`).join("\n");
  return [
    { role: "user", content: question, answer: null },
    { role: "assistant", content: said.text || calls, answer: said },
  ];
}

/** Of what came after the first one; null where that cannot be told. */
export function tokensPerSecond({ tokens, firstTokenMs, totalMs }: Answer): number | null {
  if (tokens === null || firstTokenMs === null || totalMs === null) return null;
  return tokens > 1 && totalMs > firstTokenMs ? ((tokens - 1) * 1000) / (totalMs - firstTokenMs) : null;
}

function grown(answer: Answer, chunk: Chunk, passedMs: number): Answer {
  if (chunk.error) {
    const { message, code, rules, request_id } = chunk.error;
    throw new ApiError(0, message ?? "", code ?? "", [], rules ?? [], request_id ?? "");
  }
  const choice = chunk.choices?.[0];
  const content = choice?.delta?.content ?? "";
  const parts = choice?.delta?.tool_calls ?? [];
  const isSaid = content !== "" || parts.length > 0;
  return {
    ...answer,
    text: answer.text + content,
    calls: parts.reduce(withCall, answer.calls),
    marks: [...answer.marks, ...marksIn(chunk)],
    finishReason: choice?.finish_reason ?? answer.finishReason,
    version: chunk.system_fingerprint ?? answer.version,
    firstTokenMs: answer.firstTokenMs ?? (isSaid ? passedMs : null),
    totalMs: choice?.finish_reason ? passedMs : answer.totalMs,
    tokens: chunk.usage?.completion_tokens ?? answer.tokens,
    logprobs: answer.logprobs && [...answer.logprobs, ...(choice?.logprobs?.content ?? [])],
  };
}

function withCall(calls: readonly ToolCall[], { index, function: part }: CallPart): readonly ToolCall[] {
  const old = calls[index] ?? { name: "", arguments: "" };
  const call = { name: old.name + (part?.name ?? ""), arguments: old.arguments + (part?.arguments ?? "") };
  return [...calls.slice(0, index), call, ...calls.slice(index + 1)];
}

function marksIn({ moderation }: Chunk): Answer["marks"] {
  if (moderation === undefined) return [];
  return (["input", "output"] as const).flatMap((side) =>
    (moderation[side]?.results ?? [])
      .filter((verdict) => verdict.flagged)
      .map((verdict) => ({ side, isBlocked: verdict.blocked, rules: verdict.rules })),
  );
}
