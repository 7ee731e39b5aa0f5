/** Two to four models beside each other: each answers the same question in a column of its own, at once. */
import { useEffect, useRef, useState } from "preact/hooks";
import { NO_ANSWER, tell, turnsOf, type Answer, type Told } from "../api/chat";
import { useLoaded } from "../api/loaded";
import { USUAL_SETTINGS, requestOf, whyNoProbabilities, wrongIn, type TalkSettings } from "../api/talk_settings";
import { abilityOf } from "../api/token_probabilities";
import type { ModelList } from "../api/types";
import { t, type MessageKey } from "../i18n";
import { Empty, Refusal, Shown } from "../parts/states";
import { ModelSelect, TalkSettingsForm } from "../parts/talk_settings";
import { AskForm, Conversation } from "../parts/talk_turns";
import { addressOf, place } from "../routing";
import { AnswerFeedback } from "./answer_feedback";

const LEAST = 2;
const MOST = 4;
const RELOAD_SECONDS = 30;

export function PlaygroundComparisonPage() {
  const models = useLoaded<ModelList>("/v1/models", RELOAD_SECONDS);
  return (
    <>
      <h1>{t("play.compare_title")}</h1>
      <p>
        <a href={addressOf("playground")}>{t("play.one")}</a>
      </p>
      <Shown of={models}>
        {(list) =>
          list.data.length > 0 ? <SideBySide list={list} /> : <Empty words={t("model.none")} command="mill models import PATH" />
        }
      </Shown>
    </>
  );
}

function SideBySide({ list }: { list: ModelList }) {
  const [settings, setSettings] = useState<TalkSettings>(USUAL_SETTINGS);
  const talks = useTalks(list, settings);
  const { columns } = talks;
  return (
    <>
      <details open>
        <summary>{t("play.settings")}</summary>
        <TalkSettingsForm settings={settings} change={(part) => setSettings({ ...settings, ...part })} />
      </details>
      <div class="columns">
        {columns.map((column, n) => (
          <ColumnTalk
            key={column.key}
            of={column}
            number={n + 1}
            list={list}
            talks={talks}
            mayGo={columns.length > LEAST}
            why={whyNoProbabilities(settings, abilityOf(list, column.model))}
          />
        ))}
      </div>
      {columns.length < MOST && (
        <p>
          <button type="button" class="secondary outline small" onClick={talks.add}>
            {t("play.add_model")}
          </button>
        </p>
      )}
      <AskForm {...talks} isAnswering={columns.some((each) => each.answer !== null)} />
    </>
  );
}

interface ColumnProps {
  of: Column;
  number: number;
  list: ModelList;
  talks: Talks;
  /** Whether enough others are left. */
  mayGo: boolean;
  /** Why no probabilities of its tokens come. */
  why: MessageKey | null;
}

function ColumnTalk({ of, number, list, talks, mayGo, why }: ColumnProps) {
  const { key, model, turns, answer, error } = of;
  return (
    <section class="column" aria-label={t("play.column", { n: number, model })}>
      <ModelSelect label={t("play.model_n", { n: number })} list={list} value={model} change={(chosen) => talks.choose(key, chosen)} />
      {why && <p role="note">{t(why)}</p>}
      <Conversation
        label={`${t("play.conversation")} ${number}`}
        turns={turns}
        answer={answer}
        below={(ended) => <AnswerFeedback answer={ended} />}
      />
      {error !== null && <Refusal error={error} />}
      <div class="actions">
        {answer !== null && (
          <button type="button" class="secondary small" onClick={() => talks.stopOne(key)}>
            {t("play.stop_n", { n: number })}
          </button>
        )}
        {mayGo && (
          <button type="button" class="secondary outline small" onClick={() => talks.drop(key)}>
            {t("play.drop_n", { n: number })}
          </button>
        )}
      </div>
    </section>
  );
}

interface Column {
  /** Another model begins a talk of its own. */
  key: number;
  model: string;
  turns: readonly Told[];
  /** What is being said now. */
  answer: Answer | null;
  error: unknown;
}

interface Talks {
  columns: readonly Column[];
  draft: string;
  setDraft: (draft: string) => void;
  send: () => void;
  stop: () => void;
  clear: () => void;
  add: () => void;
  choose: (key: number, model: string) => void;
  drop: (key: number) => void;
  stopOne: (key: number) => void;
}

let lastKey = 0;

function columnOf(model: string): Column {
  lastKey += 1;
  return { key: lastKey, model, turns: [], answer: null, error: null };
}

/** As a link names them, filled up with others of the list. */
function modelsAsked(list: ModelList): string[] {
  const asked = (place.value.query.get("models") ?? "").split(",").filter(Boolean).slice(0, MOST);
  const others = list.data.map((each) => each.id).filter((id) => !asked.includes(id));
  const filled = [...asked, ...others.slice(0, Math.max(0, LEAST - asked.length))];
  return filled.length < LEAST ? [...filled, ...filled] : filled;
}

function useTalks(list: ModelList, settings: TalkSettings): Talks {
  const [columns, setColumns] = useState<readonly Column[]>(() => modelsAsked(list).map(columnOf));
  const [draft, setDraft] = useState("");
  const speaking = useSpeaking(list, setColumns);
  const mayAsk = draft.trim() !== "" && wrongIn(settings).length === 0 && columns.every((each) => each.answer === null);
  const models = columns.map((each) => each.model).join(",");
  useEffect(() => location.replace(addressOf("playground", "compare", { models })), [models]);

  async function send() {
    const answered = await Promise.all(columns.map((each) => speaking.speak(each, settings, draft)));
    // Who writes on meanwhile keeps that.
    if (answered.some(Boolean)) setDraft((now) => (now === draft ? "" : now));
  }

  function replace(key: number, others: readonly Column[]) {
    speaking.stopOne(key);
    setColumns((old) => old.flatMap((each) => (each.key === key ? others : [each])));
  }

  return {
    ...{ columns, draft, setDraft, stop: speaking.stop, stopOne: speaking.stopOne },
    send: () => void (mayAsk && send()),
    clear: () => (speaking.stop(), setColumns((old) => old.map((each) => columnOf(each.model)))),
    add: () => setColumns((old) => [...old, columnOf(list.data[0]?.id ?? "")]),
    choose: (key, model) => replace(key, [columnOf(model)]),
    drop: (key) => replace(key, []),
  };
}

interface Speaking {
  /** Whether anything was said; a column that has gone meanwhile is told nothing. */
  speak: (column: Column, settings: TalkSettings, question: string) => Promise<boolean>;
  stop: () => void;
  stopOne: (key: number) => void;
}

type ChangeColumns = (change: (old: readonly Column[]) => readonly Column[]) => void;

function useSpeaking(list: ModelList, setColumns: ChangeColumns): Speaking {
  const stoppers = useRef(new Map<number, AbortController>());
  const stop = () => stoppers.current.forEach((each) => each.abort());
  const put = (key: number, part: Partial<Column>) =>
    setColumns((old) => old.map((each) => (each.key === key ? { ...each, ...part } : each)));
  useEffect(() => stop, []);

  async function speak({ key, model, turns }: Column, settings: TalkSettings, question: string): Promise<boolean> {
    const stopper = new AbortController();
    stoppers.current.set(key, stopper);
    put(key, { error: null, answer: NO_ANSWER });
    const request = requestOf({ model, ability: abilityOf(list, model) }, settings, turns, question);
    const { said, error } = await tell(request, stopper.signal, (answer) => put(key, { answer }));
    put(key, { answer: null, error, ...(said ? { turns: [...turns, ...turnsOf(question, said)] } : {}) });
    return said !== null;
  }

  return { speak, stop, stopOne: (key) => stoppers.current.get(key)?.abort() };
}
