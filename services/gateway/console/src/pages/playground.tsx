/** A conversation with a model, streamed, with marks where the policy matched. */
import { useEffect, useRef, useState } from "preact/hooks";
import { NO_ANSWER, tell, turnsOf, type Answer, type ChatRequest, type Told } from "../api/chat";
import { useLoaded } from "../api/loaded";
import { USUAL_SETTINGS, requestOf, whyNoProbabilities, wrongIn, type AskedModel, type TalkSettings } from "../api/talk_settings";
import { abilityOf } from "../api/token_probabilities";
import type { ModelList } from "../api/types";
import { t } from "../i18n";
import { Empty, Refusal, Shown } from "../parts/states";
import { ModelSelect, TalkSettingsForm } from "../parts/talk_settings";
import { TalkTexts } from "../parts/talk_texts";
import { AskForm, Conversation } from "../parts/talk_turns";
import { addressOf } from "../routing";
import { AnswerFeedback } from "./answer_feedback";

const RELOAD_SECONDS = 30;

export function PlaygroundPage() {
  // What an engine can do is known once it has loaded a version, which a first question may make it do.
  const models = useLoaded<ModelList>("/v1/models", RELOAD_SECONDS);
  return (
    <>
      <h1>{t("nav.playground")}</h1>
      <p>
        <a role="button" class="small" href={addressOf("playground", "compare")}>
          {t("play.compare")}
        </a>
      </p>
      <Shown of={models}>{(list) => <Playground list={list} />}</Shown>
    </>
  );
}

function Playground({ list }: { list: ModelList }) {
  const [model, setModel] = useState(list.data[0]?.id ?? "");
  const [settings, setSettings] = useState<TalkSettings>(USUAL_SETTINGS);
  const asked = { model, ability: abilityOf(list, model) };
  const talk = useTalk(asked, settings);
  const why = whyNoProbabilities(settings, asked.ability);
  if (!model) return <Empty words={t("model.none")} command="mill models import PATH" />;
  return (
    <div class="playground">
      <TalkSettingsForm
        settings={settings}
        change={(part) => setSettings({ ...settings, ...part })}
        note={why && <p role="note">{t(why)}</p>}
      >
        <ModelSelect label={t("play.model")} list={list} value={model} change={setModel} />
      </TalkSettingsForm>
      <div>
        <Conversation
          label={t("play.conversation")}
          turns={talk.turns}
          answer={talk.answer}
          below={(answer) => <AnswerFeedback answer={answer} />}
        />
        {talk.error !== null && <Refusal error={talk.error} />}
        <AskForm {...talk} isAnswering={talk.answer !== null} />
        <TalkTexts request={talk.shown} />
      </div>
    </div>
  );
}

interface Talk {
  turns: readonly Told[];
  /** What is being said now. */
  answer: Answer | null;
  error: unknown;
  draft: string;
  setDraft: (draft: string) => void;
  /** The request that would be made, or the one just made where nothing is written. */
  shown: ChatRequest;
  send: () => void;
  stop: () => void;
  clear: () => void;
}

function useTalk(asked: AskedModel, settings: TalkSettings): Talk {
  const [turns, setTurns] = useState<readonly Told[]>([]);
  const [answer, setAnswer] = useState<Answer | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [draft, setDraft] = useState("");
  const [made, setMade] = useState<ChatRequest | null>(null);
  const stopper = useRef(new AbortController());
  const request = requestOf(asked, settings, turns, draft);
  const mayAsk = draft.trim() !== "" && answer === null && wrongIn(settings).length === 0;
  useEffect(() => () => stopper.current.abort(), []);

  async function speak() {
    stopper.current = new AbortController();
    setError(null);
    setMade(request);
    setAnswer(NO_ANSWER);
    const { said, error: refused } = await tell(request, stopper.current.signal, setAnswer);
    setError(refused);
    setAnswer(null);
    // A refused turn leaves the talk as it was; the next question may be a better one.
    if (said === null) return;
    setTurns([...turns, ...turnsOf(draft, said)]);
    setDraft("");
  }

  return {
    ...{ turns, answer, error, draft, setDraft },
    shown: draft.trim() === "" && made !== null ? made : request,
    send: () => void (mayAsk && speak()),
    stop: () => stopper.current.abort(),
    clear: () => (stopper.current.abort(), setTurns([]), setMade(null), setError(null)),
  };
}
