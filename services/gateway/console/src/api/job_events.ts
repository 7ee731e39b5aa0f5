/** A job's events, live and without a gap: after a lost connection they go on behind the last one that came. */
import { ApiError, UnreachableError, isReached, send } from "./client";
import { eventsIn } from "./server_events";
import type { JobEvent } from "./types";

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15_000;
/** The gateway says every 15 seconds that it is alive. */
const PATIENCE_MS = 45_000;
const ENDED = 204;

/**
 * Give each event of a job to `take`, once and oldest first, until the job has ended or `stop` is aborted.
 *
 * @throws ApiError the gateway refuses for good.
 */
export async function followJob(jobId: string, take: (event: JobEvent) => void, stop: AbortSignal): Promise<void> {
  const seen = new Set<string>();
  let last = "";
  let pause = FIRST_PAUSE_MS;
  while (!stop.aborted) {
    try {
      for await (const event of eventsAfter(jobId, last, stop)) {
        pause = FIRST_PAUSE_MS;
        last = event.id;
        if (seen.has(event.id)) continue;
        seen.add(event.id);
        take(event);
      }
    } catch (error) {
      if (stop.aborted || error instanceof JobEnded) return;
      if (isFinal(error)) throw error;
      isReached.value = false;
    }
    await passed(pause, stop);
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  }
}

class JobEnded extends Error {}

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

/** Wait, or less when `stop` is aborted or the browser says that it is online again. */
function passed(milliseconds: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      stop.removeEventListener("abort", done);
      removeEventListener("online", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    stop.addEventListener("abort", done);
    addEventListener("online", done);
  });
}
