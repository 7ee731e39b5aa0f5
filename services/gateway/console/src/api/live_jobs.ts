/** Jobs of a list, with what their events say since it was loaded. */
import { useEffect, useState } from "preact/hooks";
import { followJob } from "./job_events";
import type { Job, JobEvent, Progress } from "./types";

/** A browser has six connections to a host, and each event stream holds one. */
const FOLLOWED = 1;

/**
 * The jobs with their latest progress. When one of them changes state, `changed` is called.
 *
 * The first running one is followed by its events; the others are as new as the list.
 */
export function useLiveJobs(jobs: Job[], changed: () => void): Job[] {
  const [progress, setProgress] = useState<ReadonlyMap<string, Progress>>(new Map());
  const running = jobs.filter((job) => job.status === "running").slice(0, FOLLOWED);
  const followed = running.map((job) => job.id).join(" ");

  useEffect(() => {
    const stop = new AbortController();
    const began = Date.now() / 1000 - 1;
    const take = (id: string, event: JobEvent) => {
      if (event.type === "metrics") setProgress((old) => new Map(old).set(id, progressOf(event)));
      else if (event.created_at >= began) changed();
    };
    for (const id of followed.split(" ").filter(Boolean)) {
      // The list says what is wrong, too.
      followJob(id, { take: (event) => take(id, event) }, stop.signal).catch(() => undefined);
    }
    return () => stop.abort();
  }, [followed]);

  return jobs.map((job) => withProgress(job, progress.get(job.id)));
}

function withProgress(job: Job, latest: Progress | undefined): Job {
  // A stream begins with the past, which the list may be ahead of.
  const isNewer = latest !== undefined && latest.at >= (job.progress?.at ?? 0);
  return isNewer && job.status === "running" ? { ...job, progress: latest } : job;
}

/** What an event of the type `metrics` reports. */
export function progressOf(event: JobEvent): Progress {
  const { phase, step, total_steps, unit, eta_seconds, ...figures } = event.data;
  const numbers = Object.entries(figures).filter((each): each is [string, number] => typeof each[1] === "number");
  return {
    phase: String(phase ?? ""),
    done: Number(step ?? 0),
    total: Number(total_steps ?? 0),
    unit: String(unit ?? ""),
    eta_seconds: typeof eta_seconds === "number" ? eta_seconds : null,
    metrics: Object.fromEntries(numbers),
    at: event.created_at,
  };
}
