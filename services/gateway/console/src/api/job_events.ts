/** A job's events, live and without a gap: after a lost connection they go on behind the last one that came. */
import { ApiError, UnreachableError, ask, isReached, send } from "./client";
import { eventsIn } from "./server_events";
import type { JobEvent, Page } from "./types";
import { passed } from "./waiting";

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15_000;
/** The gateway says every 15 seconds that it is alive. */
const PATIENCE_MS = 45_000;
const ENDED = 204;
/** After these states nothing follows; who asks for more is told so, by a request that need not be. */
const LAST_STATES: readonly unknown[] = ["succeeded", "failed", "cancelled"];

/** The newest events that come at once; older ones are not asked for. */
const RECENT = 100;

export interface JobListener {
  /** Called once, when the newest events were given and those that follow are awaited. */
  begin?: () => void;
  /** Called when a lost connection is made again: what was told meanwhile may have made way. */
  reconnect?: () => void;
  take: (event: JobEvent) => void;
}

/**
 * Give the newest events of a job, and each that follows, once and oldest first, until the job has ended or `stop` is
 * aborted.
 *
 * @throws ApiError the gateway refuses for good.
 */
export async function followJob(jobId: string, listener: JobListener, stop: AbortSignal): Promise<void> {
  let last: string | null = null;
  let pause = FIRST_PAUSE_MS;
  let isLost = false;
  while (!stop.aborted) {
    try {
      if (last === null) {
        const recent = await recentEvents(jobId, stop);
        recent.forEach(listener.take);
        last = recent.at(-1)?.id ?? "";
        listener.begin?.();
        if (LAST_STATES.includes(stateIn(recent))) return;
      }
      if (isLost) listener.reconnect?.();
      for await (const event of eventsAfter(jobId, last, stop)) {
        pause = FIRST_PAUSE_MS;
        isLost = false;
        last = event.id;
        listener.take(event);
      }
    } catch (error) {
      if (stop.aborted || error instanceof JobEnded) return;
      if (isFinal(error)) throw error;
      isReached.value = false;
      isLost = true;
    }
    await passed(pause, stop);
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  }
}

/** The newest state that events tell; undefined where they are all of progress. */
function stateIn(events: readonly JobEvent[]): unknown {
  return events.findLast((event) => event.type !== "metrics")?.data.status;
}

class JobEnded extends Error {}

async function recentEvents(jobId: string, stop: AbortSignal): Promise<JobEvent[]> {
  const path = `/v1/jobs/${encodeURIComponent(jobId)}/events?limit=${RECENT}`;
  return (await ask<Page<JobEvent>>(path, { signal: stop })).data.reverse();
}

async function* eventsAfter(jobId: string, last: string, stop: AbortSignal): AsyncGenerator<JobEvent> {
  const headers: Record<string, string> = { accept: "text/event-stream" };
  if (last) headers["last-event-id"] = last;
  const answer = await send(`/v1/jobs/${encodeURIComponent(jobId)}/events`, { headers, signal: stop });
  if (answer.status === ENDED) throw new JobEnded();
  for await (const event of eventsIn(answer, PATIENCE_MS)) {
    if (event.type === "error") throw new UnreachableError(event.data);
    yield JSON.parse(event.data) as JobEvent;
  }
}

/** Whether a repeat would end alike: what is ours to mend, in contrast to a gateway that is full or away. */
function isFinal(error: unknown): boolean {
  return error instanceof ApiError && error.status < 500 && error.status !== 429;
}
