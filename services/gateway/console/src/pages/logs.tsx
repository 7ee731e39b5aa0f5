/** Logged requests with their texts, by model and user; and the deletion of a user's. */
import { useId, useState } from "preact/hooks";
import { ask } from "../api/client";
import { logPath, type LogFilter, type LoggedRequest, type Message } from "../api/logs";
import { useLongList } from "../api/pages";
import { when } from "../format";
import { t } from "../i18n";
import { AskedButton } from "../parts/confirm";
import { Facts } from "../parts/facts";
import { MoreButton } from "../parts/more";
import { VersionLink } from "../parts/model_parts";
import { Empty, Shown } from "../parts/states";

/** Variant of an alias that has just one. */
const ONLY = "default";

export function LogsPage() {
  const [filter, setFilter] = useState<LogFilter>({ model: "", user: "" });
  const logged = useLongList<LoggedRequest>(logPath(filter));
  return (
    <>
      <h1 id="logs">{t("nav.logs")}</h1>
      <FilterForm choose={setFilter} />
      {filter.user && <DeleteUser user={filter.user} done={logged.reload} />}
      <Shown of={logged}>{(all) => <Requests of={all} />}</Shown>
      <MoreButton list={logged} />
    </>
  );
}

function FilterForm({ choose }: { choose: (filter: LogFilter) => void }) {
  const [written, setWritten] = useState<LogFilter>({ model: "", user: "" });
  const fields = [
    ["model", t("log.model")],
    ["user", t("log.user")],
  ] as const;
  const id = useId();
  return (
    <form class="fields" onSubmit={(event) => (event.preventDefault(), choose(written))}>
      {fields.map(([name, label]) => (
        <div key={name} class="field">
          <label for={`${id}-${name}`}>{label}</label>
          <input
            id={`${id}-${name}`}
            autocomplete="off"
            spellcheck={false}
            value={written[name]}
            onInput={(event) => setWritten({ ...written, [name]: event.currentTarget.value })}
          />
        </div>
      ))}
      <div class="actions">
        <button type="submit" class="secondary outline small">
          {t("log.show")}
        </button>
      </div>
    </form>
  );
}

function DeleteUser({ user, done }: { user: string; done: () => void }) {
  const remove = async () => {
    await ask(`/v1/logs?${new URLSearchParams({ user })}`, { method: "DELETE" });
    done();
  };
  return <AskedButton label={t("log.delete_user", { user })} question={t("log.delete_asked", { user })} act={remove} />;
}

function Requests({ of }: { of: LoggedRequest[] }) {
  if (of.length === 0) return <Empty words={t("log.none")} command="mill models alias NAME VERSION --store" />;
  return (
    <>
      {of.map((logged) => (
        <article key={logged.id} aria-label={logged.id}>
          <Facts facts={factsOf(logged)} />
          {logged.deleted ? <p>{t("log.deleted")}</p> : <Said messages={[...(logged.messages ?? []), ...(logged.answers ?? [])]} />}
        </article>
      ))}
    </>
  );
}

function factsOf(logged: LoggedRequest) {
  return [
    [t("log.request"), <code>{logged.id}</code>],
    [t("log.at"), when(logged.created_at)],
    [t("log.model"), logged.model],
    [t("log.version"), <VersionLink id={logged.version_id} />],
    [t("log.variant"), logged.variant !== ONLY && logged.variant],
    [t("log.key"), logged.key_id && <code>{logged.key_id}</code>],
    [t("log.ended"), logged.finish_reason],
  ] as const;
}

/** Texts as they are: nothing in them is markup. */
function Said({ messages }: { messages: Message[] }) {
  return (
    <>
      {messages.map((message, n) => (
        <div key={n}>
          <small>{message.role}</small>
          <p class="text">{message.content}</p>
          {message.tool_calls?.map((call) => (
            <p key={call.id}>
              <code>
                {call.function.name}({call.function.arguments})
              </code>
            </p>
          ))}
        </div>
      ))}
    </>
  );
}
