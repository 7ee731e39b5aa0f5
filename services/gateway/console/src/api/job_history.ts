/** What the events of a job say: its figures by step, and its log. */
import { useEffect, useRef, useState } from "preact/hooks";
import { followJob } from "./job_events";
import { progressOf } from "./live_jobs";
import type { JobEvent, Progress } from "./types";

const REDRAW_MS = 200;
const TRAINING = "train";

/** Values by step, by the name of the figure; those of phases other than training have the phase in front. */
export type Figures = ReadonlyMap<string, ReadonlyMap<number, number>>;

export interface JobHistory {
  figures: Figures;
  /** Oldest first. */
  log: readonly JobEvent[];
  progress: Progress | null;
  error: unknown;
  /** Whether the job has ended, and all of its events are here. */
  isWhole: boolean;
}

const NOTHING_YET: JobHistory = { figures: new Map(), log: [], progress: null, error: null, isWhole: false };

/** Follow a job; `changed` is called when it says a new state. */
export function useJobHistory(jobId: string, changed: () => void): JobHistory {
  const [history, setHistory] = useState<JobHistory>(NOTHING_YET);
  const onState = useRef(changed);
  onState.current = changed;

  useEffect(() => {
    const stop = new AbortController();
    const recorder = new JobRecorder();
    let drawing: ReturnType<typeof setTimeout> | undefined;
    let isChanged = false;
    const draw = () => {
      setHistory(recorder.history());
      if (isChanged) onState.current();
      isChanged = false;
      drawing = undefined;
    };
    const take = (event: JobEvent) => {
      recorder.add(event);
      isChanged ||= event.type !== "metrics";
      // Events come by the thousand; a person sees no more than a few pictures a second.
      drawing ??= setTimeout(draw, REDRAW_MS);
    };
    followJob(jobId, take, stop.signal).then(
      () => setHistory({ ...recorder.history(), isWhole: !stop.signal.aborted }),
      (error: unknown) => setHistory({ ...recorder.history(), error }),
    );
    return () => {
      stop.abort();
      clearTimeout(drawing);
    };
  }, [jobId]);

  return history;
}

/** Events as they come; a step that was trained again after a checkpoint has the value of the last time. */
class JobRecorder {
  private readonly figures = new Map<string, Map<number, number>>();
  private readonly log: JobEvent[] = [];
  private progress: Progress | null = null;

  add(event: JobEvent): void {
    this.log.push(event);
    if (event.type !== "metrics") return;
    const progress = progressOf(event);
    this.progress = progress;
    for (const [name, value] of Object.entries(progress.metrics)) {
      const shown = progress.phase === TRAINING ? name : `${progress.phase} ${name}`;
      const steps = this.figures.get(shown) ?? new Map<number, number>();
      this.figures.set(shown, steps.set(progress.done, value));
    }
  }

  history(): JobHistory {
    return { ...NOTHING_YET, figures: new Map(this.figures), log: [...this.log], progress: this.progress };
  }
}
