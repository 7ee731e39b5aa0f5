/** Endpoints that are told of events, and what became of each delivery. */

export interface Webhook {
  id: string;
  url: string;
  events: string[];
  enabled: boolean;
  /** Why the gateway disabled it. */
  disabled_reason: string | null;
  created_at: number;
}

/** The secret that signs what it is told, shown this once. */
export interface RegisteredWebhook extends Webhook {
  secret: string;
}

/** Of which an endpoint may be told. */
export const EVENT_TYPES = [
  ...["job.running", "job.paused", "job.succeeded", "job.failed", "job.cancelled"],
  ...["model.ready", "dataset.ready"],
] as const;

/** One attempt; those of one delivery have its id. */
export interface WebhookDelivery {
  id: string;
  delivery_id: string;
  event: string;
  attempt: number;
  at: number;
  seconds: number;
  outcome: string;
  /** HTTP status; null where no answer came. */
  status: number | null;
  next_at: number | null;
}
