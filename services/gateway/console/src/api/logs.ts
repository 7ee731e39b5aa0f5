/** Logged requests: what was asked and answered, where an alias keeps that. */

export interface LoggedRequest {
  id: string;
  created_at: number;
  model: string;
  version_id: string;
  variant: string | null;
  key_id: string | null;
  finish_reason: string;
  /** Whether the texts were deleted with all of their user's. */
  deleted: boolean;
  messages: Message[] | null;
  answers: Message[] | null;
}

export interface Message {
  role: string;
  content: string;
  tool_calls?: { id: string; function: { name: string; arguments: string } }[];
}

export interface LogFilter {
  model: string;
  user: string;
}

/** The list of those that are meant. */
export function logPath({ model, user }: LogFilter): string {
  const query = new URLSearchParams();
  if (model) query.set("model", model);
  if (user) query.set("user", user);
  return `/v1/logs${query.size ? `?${query}` : ""}`;
}
