/** Requests to the gateway that serves the console: its public API and nothing else. */
import { signal } from "@preact/signals";
import { credential, signOut } from "../session";
import type { Rule } from "./types";

/** Whether the last request reached the gateway. */
export const isReached = signal(true);

/** A refusal of the API, in its own words. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly code: string,
    readonly errors: string[],
    readonly rules: Rule[],
    readonly requestId: string,
    /** Default rules of a policy that a change would take away unasked. */
    readonly defaultRules: string[] = [],
  ) {
    super(message);
  }
}

/** No answer came: the gateway is away, or the network is. */
export class UnreachableError extends Error {}

export interface Asked {
  method?: string;
  body?: unknown;
  /** In place of a body of JSON. */
  form?: FormData;
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
}

/**
 * The answer to a request, once its head is there.
 *
 * @throws ApiError the gateway refuses. After 401 nobody is signed in any more.
 * @throws UnreachableError there is no answer.
 */
export async function send(path: string, asked: Asked = {}): Promise<Response> {
  const sent = credential.value;
  const answer = await reach(path, asked);
  if (answer.ok) return answer;
  // Whoever has signed in meanwhile stays so.
  if (answer.status === 401 && sent === credential.value) signOut("signin.ended");
  throw await refusalIn(answer);
}

/** The JSON that a request is answered with; throws as `send` does. */
export async function ask<T>(path: string, asked: Asked = {}): Promise<T> {
  return (await (await send(path, asked)).json()) as T;
}

/** See whether the gateway answers again. */
export async function reachAgain(): Promise<void> {
  await reach("/healthz", {}).catch(() => undefined);
}

/** Whether the gateway knows a credential; scopes do not matter. Throws as `send` does, without 401. */
export async function isKnown(value: string): Promise<boolean> {
  const answer = await reach("/v1/me", { headers: { authorization: `Bearer ${value}` } });
  if (answer.status === 401) return false;
  if (answer.ok) return true;
  throw await refusalIn(answer);
}

async function reach(path: string, asked: Asked): Promise<Response> {
  const headers: Record<string, string> = { authorization: `Bearer ${credential.value}`, ...asked.headers };
  if (asked.body !== undefined) headers["content-type"] = "application/json";
  try {
    const answer = await fetch(`..${path}`, {
      method: asked.method ?? "GET",
      headers,
      body: asked.form ?? (asked.body === undefined ? null : JSON.stringify(asked.body)),
      signal: asked.signal ?? null,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
    });
    isReached.value = true;
    return answer;
  } catch (error) {
    if (asked.signal?.aborted) throw error;
    isReached.value = false;
    throw new UnreachableError(String(error));
  }
}

interface ErrorFields {
  message?: string;
  code?: string;
  errors?: string[];
  rules?: Rule[];
  request_id?: string;
  default_rules?: string[];
}

async function refusalIn(answer: Response): Promise<ApiError> {
  const body = (await answer.json().catch(() => ({}))) as { error?: ErrorFields };
  const { message, code, errors, rules, request_id, default_rules } = body.error ?? {};
  return new ApiError(
    answer.status,
    message ?? `${answer.status} ${answer.statusText}`,
    code ?? "",
    errors ?? [],
    rules ?? [],
    request_id ?? "",
    default_rules ?? [],
  );
}
