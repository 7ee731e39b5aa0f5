/** What the events of a job say as they come: the end of its log, and the newest of its figures. */
import { useEffect, useRef, useState } from "preact/hooks";
import { followJob } from "./job_events";
import { nameOf } from "./job_metrics";
import { progressOf } from "./live_jobs";
import type { JobEvent, Progress } from "./types";

const REDRAW_MS = 200;
/** Events that are shown; all of them are in the API. */
const KEPT_EVENTS = 200;
/** Steps after which figures are loaded again, so that what is held here has a bound. */
const TAIL_STEPS = 500;

/** Values by step, by the name of the figure: those that are newer than the ones loaded. */
export type Tail = ReadonlyMap<string, ReadonlyMap<number, number>>;

export interface JobHistory {
  tail: Tail;
  /** The newest events, oldest first. */
  log: readonly JobEvent[];
  progress: Progress | null;
  error: unknown;
  /** Whether the events so far are here, so that what follows is told as it comes. */
  isBegun: boolean;
  /** Counts what asks for figures to be loaded again: a new state, a lost connection, a full tail. */
  round: number;
}

const NOTHING_YET: JobHistory = {
  tail: new Map(),
  log: [],
  progress: null,
  error: null,
  isBegun: false,
  round: 0,
};

/** Follow a job; `changed` is called with the status of each new state, also of the last one before. */
export function useJobHistory(jobId: string, changed: (status: string) => void): JobHistory {
  const [history, setHistory] = useState<JobHistory>(NOTHING_YET);
  const onState = useRef(changed);
  onState.current = changed;

  useEffect(() => {
    const stop = new AbortController();
    const recorder = new JobRecorder();
    let drawing: ReturnType<typeof setTimeout> | undefined;
    let status = "";
    const draw = () => {
      setHistory(recorder.history());
      if (status) onState.current(status);
      status = "";
      drawing = undefined;
    };
    // Events come by the thousand; a person sees no more than a few pictures a second.
    const soon = () => (drawing ??= setTimeout(draw, REDRAW_MS));
    const listener = {
      begin: () => (recorder.begin(), soon()),
      reconnect: () => (recorder.renew(), soon()),
      take: (event: JobEvent) => {
        recorder.add(event);
        if (event.type !== "metrics") status = String(event.data.status);
        soon();
      },
    };
    followJob(jobId, listener, stop.signal).then(
      () => stop.signal.aborted || (recorder.renew(), soon()),
      (error: unknown) => setHistory({ ...recorder.history(), error }),
    );
    return () => {
      stop.abort();
      clearTimeout(drawing);
    };
  }, [jobId]);

  return history;
}

type Steps = Map<string, Map<number, number>>;

/** The end of what was told; a step that was trained again after a checkpoint has the value of the last time. */
class JobRecorder {
  private tail: Steps = new Map();
  /** What is shown until the figures are loaded that have it. */
  private before: Steps = new Map();
  private attempt: unknown = null;
  private readonly log: JobEvent[] = [];
  private progress: Progress | null = null;
  private isBegun = false;
  private round = 0;
  private steps = 0;

  begin(): void {
    this.isBegun = true;
  }

  add(event: JobEvent): void {
    this.log.push(event);
    if (this.log.length > KEPT_EVENTS) this.log.shift();
    if (event.type === "metrics") this.measure(progressOf(event));
    else this.stateChanged(event);
  }

  /** Have figures loaded again; what will be in those that come is forgotten the next time. */
  renew(): void {
    if (!this.isBegun) return;
    this.round += 1;
    this.steps = 0;
    this.before = this.tail;
    this.tail = new Map();
  }

  history(): JobHistory {
    const { isBegun, round, progress } = this;
    const tail = new Map(this.before);
    for (const [name, steps] of this.tail) tail.set(name, new Map([...(this.before.get(name) ?? []), ...steps]));
    return { ...NOTHING_YET, tail, log: [...this.log], progress, isBegun, round };
  }

  private stateChanged({ data }: JobEvent): void {
    this.renew();
    // An attempt that goes on from a checkpoint takes back the steps behind it.
    if (data.attempt !== this.attempt) this.before = new Map();
    this.attempt = data.attempt;
  }

  private measure(progress: Progress): void {
    this.progress = progress;
    if (!this.isBegun) return; // it is in the figures that are loaded then
    for (const [name, value] of Object.entries(progress.metrics)) {
      const shown = nameOf(progress.phase, name);
      const steps = this.tail.get(shown) ?? new Map<number, number>();
      this.tail.set(shown, steps.set(progress.done, value));
    }
    this.steps += 1;
    if (this.steps > TAIL_STEPS) this.renew();
  }
}
