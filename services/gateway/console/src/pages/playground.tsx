/** A conversation with a model, streamed, with marks where the policy matched. */
import { useRef, useState } from "preact/hooks";
import { NO_ANSWER, answers, bodyOf, type Answer, type ChatRequest, type Turn } from "../api/chat";
import { useLoaded } from "../api/loaded";
import { isVersion, type ModelList } from "../api/types";
import { t } from "../i18n";
import { Empty, Refusal, Shown } from "../parts/states";

const TEMPERATURE = 0.7;
const MAX_TOKENS = 256;

export function PlaygroundPage() {
  const models = useLoaded<ModelList>("/v1/models");
  return (
    <>
      <h1>{t("nav.playground")}</h1>
      <Shown of={models}>{(list) => <Playground list={list} />}</Shown>
    </>
  );
}

interface Settings {
  model: string;
  system: string;
  temperature: number;
  maxTokens: number;
}

function Playground({ list }: { list: ModelList }) {
  const first = list.data[0]?.id ?? "";
  const [settings, setSettings] = useState<Settings>({ model: first, system: "", temperature: TEMPERATURE, maxTokens: MAX_TOKENS });
  const talk = useTalk(settings);
  if (!first) return <Empty words={t("model.none")} command="mill models import PATH" />;
  return (
    <div class="playground">
      <SettingsForm list={list} settings={settings} change={(part) => setSettings({ ...settings, ...part })} />
      <div>
        <Conversation turns={talk.turns} answer={talk.answer} />
        {talk.error !== null && <Refusal error={talk.error} />}
        <AskForm talk={talk} />
        <details>
          <summary>{t("play.curl")}</summary>
          <pre tabIndex={0}>{asCurl(talk.request)}</pre>
        </details>
      </div>
    </div>
  );
}

interface SettingsProps {
  list: ModelList;
  settings: Settings;
  change: (part: Partial<Settings>) => void;
}

function SettingsForm({ list, settings, change }: SettingsProps) {
  return (
    <form onSubmit={(event) => event.preventDefault()}>
      <label>
        {t("play.model")}
        <select value={settings.model} onChange={(event) => change({ model: event.currentTarget.value })}>
          {list.data.map((each) => (
            <option key={each.id} value={each.id}>
              {isVersion(each) ? `${each.id} (${each.name}, ${each.form})` : each.id}
            </option>
          ))}
        </select>
      </label>
      <label>
        {t("play.system")}
        <textarea rows={3} value={settings.system} onInput={(event) => change({ system: event.currentTarget.value })} />
      </label>
      <NumberField label={t("play.temperature")} value={settings.temperature} max={2} step={0.1} change={(temperature) => change({ temperature })} />
      <NumberField label={t("play.max_tokens")} value={settings.maxTokens} max={32768} step={1} change={(maxTokens) => change({ maxTokens })} />
    </form>
  );
}

interface NumberProps {
  label: string;
  value: number;
  max: number;
  step: number;
  change: (value: number) => void;
}

function NumberField({ label, value, max, step, change }: NumberProps) {
  return (
    <label>
      {label}
      <input
        type="number"
        min={step === 1 ? 1 : 0}
        max={max}
        step={step}
        value={value}
        onInput={(event) => event.currentTarget.validity.valid && change(event.currentTarget.valueAsNumber)}
      />
    </label>
  );
}

function Conversation({ turns, answer }: { turns: Told[]; answer: Answer | null }) {
  return (
    <div class="conversation" role="log" aria-label={t("play.conversation")} tabIndex={0}>
      {turns.map((turn, n) => (
        <TurnText key={n} role={turn.role} text={turn.content} answer={turn.answer} />
      ))}
      {answer && <TurnText role="assistant" text={answer.text} answer={answer} isGrowing />}
    </div>
  );
}

interface TurnProps {
  role: Turn["role"];
  text: string;
  answer: Answer | null;
  isGrowing?: boolean;
}

/** What models say is text, whatever it looks like. */
function TurnText({ role, text, answer, isGrowing = false }: TurnProps) {
  return (
    <article class={role}>
      <small>
        {role === "user" ? t("play.you") : t("play.assistant")} {answer?.version && <code>{answer.version}</code>}
      </small>
      <p class="text" aria-busy={isGrowing && !text}>
        {text}
      </p>
      {answer?.marks.map((mark, n) => (
        <p key={n} class="mark">
          {t(mark.isBlocked ? "play.blocked" : "play.flagged", { side: t(`play.${mark.side}`) })}{" "}
          {mark.rules.map((rule) => `${rule.id} (${rule.category})`).join(", ")}
        </p>
      ))}
    </article>
  );
}

function AskForm({ talk }: { talk: Talk }) {
  const submit = (event: Event) => {
    event.preventDefault();
    talk.send();
  };
  return (
    <form onSubmit={submit}>
      <label>
        {t("play.message")}
        <textarea
          rows={3}
          required
          value={talk.draft}
          onInput={(event) => talk.setDraft(event.currentTarget.value)}
          onKeyDown={(event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && submit(event)}
        />
      </label>
      <div class="actions">
        {talk.answer === null ? (
          <button type="submit">{t("play.send")}</button>
        ) : (
          <button type="button" class="secondary" onClick={talk.stop}>
            {t("play.stop")}
          </button>
        )}
        <button type="button" class="secondary outline" onClick={talk.clear}>
          {t("play.clear")}
        </button>
      </div>
    </form>
  );
}

interface Told extends Turn {
  answer: Answer | null;
}

interface Talk {
  turns: Told[];
  /** What is being said now. */
  answer: Answer | null;
  error: unknown;
  draft: string;
  setDraft: (draft: string) => void;
  request: ChatRequest;
  send: () => void;
  stop: () => void;
  clear: () => void;
}

function useTalk(settings: Settings): Talk {
  const [turns, setTurns] = useState<Told[]>([]);
  const [answer, setAnswer] = useState<Answer | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [draft, setDraft] = useState("");
  const stopper = useRef(new AbortController());
  const request = requestOf(settings, turns, draft);

  async function speak() {
    stopper.current = new AbortController();
    let said = NO_ANSWER;
    setError(null);
    setAnswer(said);
    try {
      for await (said of answers(request, stopper.current.signal)) setAnswer(said);
    } catch (refused) {
      if (!stopper.current.signal.aborted) setError(refused);
    }
    setAnswer(null);
    // A refused turn leaves the talk as it was; the next question may be a better one.
    if (said === NO_ANSWER) return;
    setTurns([...turns, { role: "user", content: draft, answer: null }, { role: "assistant", content: said.text, answer: said }]);
    setDraft("");
  }

  return {
    ...{ turns, answer, error, draft, setDraft, request },
    send: () => void (draft.trim() && answer === null && speak()),
    stop: () => stopper.current.abort(),
    clear: () => (stopper.current.abort(), setTurns([]), setError(null)),
  };
}

function requestOf(settings: Settings, turns: Turn[], draft: string): ChatRequest {
  const system: Turn[] = settings.system ? [{ role: "system", content: settings.system }] : [];
  const said = turns.map(({ role, content }) => ({ role, content }));
  const messages: Turn[] = [...system, ...said, { role: "user", content: draft }];
  return { model: settings.model, messages, temperature: settings.temperature, max_tokens: settings.maxTokens };
}

function asCurl(request: ChatRequest): string {
  const address = new URL("../v1/chat/completions", location.href.split("#")[0]).href;
  const body = JSON.stringify(bodyOf(request), null, 2).replaceAll("'", "'\\''");
  return `curl -N '${address}' \\\n  -H "Authorization: Bearer $MODELMILL_TOKEN" \\\n  -H 'Content-Type: application/json' \\\n  -d '${body}'`;
}
