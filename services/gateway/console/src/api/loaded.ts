/** What a page has loaded: the data, or why there are none; loaded again while somebody looks. */
import { useEffect, useState } from "preact/hooks";
import { UnreachableError, ask, isReached } from "./client";

export interface Loaded<T> {
  data: T | null;
  error: unknown;
  reload: () => void;
}

/**
 * The JSON at a path.
 *
 * @param seconds after which it is asked for again while the page is visible; 0 for never.
 */
export function useLoaded<T>(path: string, seconds = 0): Loaded<T> {
  return useResult(path, (stop) => ask<T>(path, { signal: stop }), seconds);
}

/**
 * What several requests come to.
 *
 * @param path names it: with another one something else is loaded.
 * @param load is to end when its signal is aborted.
 */
export function useResult<T>(path: string, load: (stop: AbortSignal) => Promise<T>, seconds = 0): Loaded<T> {
  const [found, setFound] = useState<{ path: string; data: T | null; error: unknown }>({ path, data: null, error: null });
  const [round, setRound] = useState(0);

  useEffect(() => {
    const stop = new AbortController();
    load(stop.signal).then(
      (data) => setFound({ path, data, error: null }),
      (error: unknown) => {
        // What was shown stays: it is older, and better than nothing.
        if (!stop.signal.aborted) setFound((old) => ({ path, data: old.path === path ? old.data : null, error }));
      },
    );
    return () => stop.abort();
  }, [path, round]);

  useEffect(() => {
    if (!seconds) return;
    const timer = setInterval(() => document.hidden || setRound((old) => old + 1), seconds * 1000);
    return () => clearInterval(timer);
  }, [path, seconds]);

  const isMissed = isReached.value && found.error instanceof UnreachableError;
  useEffect(() => {
    if (isMissed) setRound((old) => old + 1);
  }, [isMissed]);

  const data = found.path === path ? found.data : null;
  return { data, error: found.error, reload: () => setRound((old) => old + 1) };
}
