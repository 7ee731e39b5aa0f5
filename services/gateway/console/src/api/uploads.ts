/** Files on their way to the gateway: in parts, so that a lost connection or a reload costs one part. */
import { useRef, useState } from "preact/hooks";
import { ApiError, UnreachableError, ask } from "./client";
import { passed } from "./waiting";

/** Part of a file that is sent again when it gets lost; a larger file than 4,000 of these has larger parts. */
const PART_BYTES = 4 * 1024 * 1024;
const MOST_PARTS = 4000;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15_000;
const GONE = 404;

/** What is known of an upload that has begun, as the tab remembers it over reloads. */
interface Begun {
  id: string;
  partBytes: number;
  /** Ids of the parts that are stored, in order. */
  parts: string[];
}

export type UploadStatus = "none" | "sending" | "waiting" | "stopped" | "done";

export interface Upload {
  status: UploadStatus;
  file: File | null;
  sentBytes: number;
  /** Of the stored file, once it is done. */
  fileId: string;
  error: unknown;
  /** Send a file, from where an earlier try has ended. */
  start: (file: File) => void;
  stop: () => void;
  /** Give up for good what was sent. */
  discard: () => void;
}

const NO_UPLOAD = { status: "none" as UploadStatus, file: null as File | null, sentBytes: 0, fileId: "", error: null as unknown };

export function useUpload(): Upload {
  const [state, setState] = useState(NO_UPLOAD);
  const stopping = useRef(new AbortController());

  async function send(file: File, { signal }: AbortController) {
    const tell = (status: UploadStatus, sentBytes: number) => setState({ ...NO_UPLOAD, status, file, sentBytes });
    try {
      const fileId = await sendFile(file, tell, signal);
      setState({ ...NO_UPLOAD, status: "done", file, sentBytes: file.size, fileId });
    } catch (error) {
      setState((old) => ({ ...old, status: "stopped", error: signal.aborted ? null : error }));
    }
  }

  function start(file: File) {
    stopping.current.abort();
    stopping.current = new AbortController();
    setState({ ...NO_UPLOAD, status: "sending", file, sentBytes: 0 });
    void send(file, stopping.current);
  }

  function discard() {
    stopping.current.abort();
    if (state.file) void forget(state.file);
    setState(NO_UPLOAD);
  }

  return { ...state, start, stop: () => stopping.current.abort(), discard };
}

type Tell = (status: UploadStatus, sentBytes: number) => void;

/** The id of the stored file. Throws what the gateway refuses for good, and when `stop` is aborted. */
async function sendFile(file: File, tell: Tell, stop: AbortSignal): Promise<string> {
  try {
    return await sendRest(file, tell, stop);
  } catch (error) {
    // An upload that was not ended in its hour is gone, with its parts.
    if (!(error instanceof ApiError && error.status === GONE && begunOf(file) !== null)) throw error;
    sessionStorage.removeItem(nameOf(file));
    return sendRest(file, tell, stop);
  }
}

async function sendRest(file: File, tell: Tell, stop: AbortSignal): Promise<string> {
  const begun = begunOf(file) ?? (await begin(file, tell, stop));
  const path = `/v1/uploads/${encodeURIComponent(begun.id)}`;
  for (;;) {
    const sent = Math.min(begun.parts.length * begun.partBytes, file.size);
    tell("sending", sent);
    if (sent === file.size) break;
    const form = new FormData();
    form.append("data", file.slice(sent, sent + begun.partBytes), file.name);
    const stored = { method: "POST", form, signal: stop };
    const part = await untilReached<{ id: string }>(() => ask(`${path}/parts`, stored), () => tell("waiting", sent), stop);
    begun.parts.push(part.id);
    remember(file, begun);
  }
  const body = { part_ids: begun.parts };
  const end = () => ask<{ file: { id: string } }>(`${path}/complete`, { method: "POST", body, signal: stop });
  const made = await untilReached(end, () => tell("waiting", file.size), stop);
  sessionStorage.removeItem(nameOf(file));
  return made.file.id;
}

async function begin(file: File, tell: Tell, stop: AbortSignal): Promise<Begun> {
  const body = { filename: file.name, purpose: "fine-tune", bytes: file.size };
  const made = await untilReached<{ id: string }>(
    () => ask("/v1/uploads", { method: "POST", body, signal: stop }),
    () => tell("waiting", 0),
    stop,
  );
  const partBytes = Math.max(PART_BYTES, Math.ceil(file.size / MOST_PARTS));
  const begun = { id: made.id, partBytes, parts: [] };
  remember(file, begun);
  return begun;
}

/** The answer, asked for again while the gateway is away or full. */
async function untilReached<T>(request: () => Promise<T>, wait: () => void, stop: AbortSignal): Promise<T> {
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
    try {
      return await request();
    } catch (error) {
      const mayPass = error instanceof UnreachableError || (error instanceof ApiError && (error.status >= 500 || error.status === 429));
      if (!mayPass || stop.aborted) throw error;
      wait();
      await passed(pause, stop);
      if (stop.aborted) throw error;
    }
  }
}

/** A file is known again by what a browser says of it without reading it. */
function nameOf(file: File): string {
  return `modelmill.upload ${file.name} ${file.size} ${file.lastModified}`;
}

function begunOf(file: File): Begun | null {
  return JSON.parse(sessionStorage.getItem(nameOf(file)) ?? "null") as Begun | null;
}

function remember(file: File, begun: Begun): void {
  sessionStorage.setItem(nameOf(file), JSON.stringify(begun));
}

async function forget(file: File): Promise<void> {
  const begun = begunOf(file);
  sessionStorage.removeItem(nameOf(file));
  // What is not cancelled is deleted by the gateway an hour after it began.
  if (begun) await ask(`/v1/uploads/${encodeURIComponent(begun.id)}/cancel`, { method: "POST" }).catch(() => undefined);
}
