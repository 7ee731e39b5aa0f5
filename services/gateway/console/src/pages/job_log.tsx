/** The end of what a job said. */
import type { JobHistory } from "../api/job_history";
import { when } from "../format";
import { t } from "../i18n";

const SHOWN = 200;

export function JobLog({ history }: { history: JobHistory }) {
  const shown = history.log.slice(-SHOWN).reverse();
  return (
    <section aria-labelledby="log">
      <h2 id="log">{t("job.log")}</h2>
      {shown.length === 0 ? (
        <p class="empty">{t("job.no_log")}</p>
      ) : (
        <ol class="log" reversed tabIndex={0} aria-labelledby="log">
          {shown.map((event) => (
            <li key={event.id} class={event.level}>
              <time dateTime={new Date(event.created_at * 1000).toISOString()}>{when(event.created_at)}</time>{" "}
              {event.message}
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}
