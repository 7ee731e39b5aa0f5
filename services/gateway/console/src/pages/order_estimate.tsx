/** What an order would take, by the API: asked for again a moment after somebody has typed. */
import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import type { JsonObject } from "../api/body_values";
import { ask } from "../api/client";
import { useResult } from "../api/loaded";
import { passed } from "../api/waiting";
import { named, t } from "../i18n";
import { JobLink } from "../parts/job_parts";
import { reasonsIn } from "../parts/states";
import { language } from "../preferences";

const PAUSE = 400;

interface EstimateProps<T> {
  /** Where orders are posted. */
  path: string;
  /** Nothing while something of it is missing or wrong: then nobody asks. */
  order: JsonObject | null;
  /** What is missing then, in words. */
  needs: string;
  children: (estimate: T) => ComponentChildren;
}

export function EstimateBeside<T>({ path, order, needs, children }: EstimateProps<T>) {
  const text = order === null ? "" : JSON.stringify(order);
  const { data, error } = useResult(text, (stop) => estimated<T>(path, text, stop));
  // Until the next one is there, the one before stays: figures that come and go cannot be read.
  const last = useRef<T | null>(null);
  if (data !== null || error) last.current = data;
  const isLoading = text !== "" && data === null && !error;
  return (
    <section aria-labelledby="estimate">
      <h2 id="estimate">{t("estimate.title")}</h2>
      <div role="status" aria-busy={isLoading}>
        {text === "" ? <p>{needs}</p> : error ? <Refused error={error} /> : <Estimated of={last.current}>{children}</Estimated>}
      </div>
    </section>
  );
}

async function estimated<T>(path: string, text: string, stop: AbortSignal): Promise<T | null> {
  if (text === "") return null;
  await passed(PAUSE, stop);
  stop.throwIfAborted();
  return ask<T>(`${path}/estimate`, { method: "POST", body: JSON.parse(text) as JsonObject, signal: stop });
}

function Estimated<T>({ of, children }: { of: T | null; children: (estimate: T) => ComponentChildren }) {
  return of === null ? <p>{t("state.loading")}</p> : <>{children(of)}</>;
}

function Refused({ error }: { error: unknown }) {
  return (
    <div class="refusal">
      <p>{t("estimate.refused")}</p>
      {reasonsIn(error).map((reason) => (
        <p key={reason}>{reason}</p>
      ))}
    </div>
  );
}

interface RemarksProps {
  of: { earlier_job_ids: string[]; waiting_reason: string | null; notes: string[]; note_codes: string[] };
  /** What the earlier jobs are the basis of. */
  byJobs: string;
  /** Where there are none. */
  without?: string;
}

/** What figures rest on, why the job would wait, and what the gateway does not know. */
export function EstimateRemarks({ of: { earlier_job_ids, waiting_reason, notes, note_codes }, byJobs, without }: RemarksProps) {
  return (
    <>
      {earlier_job_ids.length === 0 && without && <p>{without}</p>}
      {earlier_job_ids.length > 0 && <p>{byJobs}</p>}
      {earlier_job_ids.length > 0 && (
        <ul>
          {earlier_job_ids.map((id) => (
            <li key={id}>
              <JobLink job={{ id }} />
            </li>
          ))}
        </ul>
      )}
      {waiting_reason && <p class="refusal">{t("estimate.waits", { reason: waiting_reason })}</p>}
      {notes.map((note, n) => (
        <Note key={note} text={note} code={note_codes[n] ?? ""} />
      ))}
    </>
  );
}

/** Whose text goes on with a reason, which is in the words of the API. */
const WITH_REASON = ["no_tokens"];

/** In the chosen language by its code, and as the API says it where that is newer than this page. */
function Note({ text, code }: { text: string; code: string }) {
  const known = named("note", code);
  if (language.value === "en" || known === code) return <p lang="en">{text}</p>;
  return (
    <p>
      {known} {WITH_REASON.includes(code) && <small lang="en">{text}</small>}
    </p>
  );
}
