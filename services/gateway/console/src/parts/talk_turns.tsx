/** Turns of a talk: what was asked and said, how fast, with marks where the policy matched. */
import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";
import { tokensPerSecond, type Answer, type Told, type Turn } from "../api/chat";
import { shownTokens } from "../api/token_probabilities";
import { figure, shortTime } from "../format";
import { t } from "../i18n";
import { TokenText } from "./token_text";

interface ConversationProps {
  label: string;
  turns: readonly Told[];
  /** What is being said now. */
  answer: Answer | null;
  /** What stands below an answer that has ended. */
  below: (answer: Answer) => ComponentChildren;
}

export function Conversation({ label, turns, answer, below }: ConversationProps) {
  return (
    <div class="conversation" role="log" aria-label={label} tabIndex={0}>
      {turns.map((turn, n) => (
        <TurnText key={n} role={turn.role} text={turn.answer?.text ?? turn.content} answer={turn.answer}>
          {turn.answer && below(turn.answer)}
        </TurnText>
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
  children?: ComponentChildren;
}

/** What models say is text, whatever it looks like. */
function TurnText({ role, text, answer, isGrowing = false, children }: TurnProps) {
  return (
    <article class={role}>
      <small>
        {role === "user" ? t("play.you") : t("play.assistant")} {answer?.version && <code>{answer.version}</code>}
      </small>
      <AnswerText text={text} answer={answer} isGrowing={isGrowing} />
      {answer?.calls.map((call, n) => (
        <p key={n}>
          {t("play.call")}{" "}
          <code>
            {call.name}({call.arguments})
          </code>
        </p>
      ))}
      {answer?.marks.map((mark, n) => (
        <p key={n} class="mark">
          {t(mark.isBlocked ? "play.blocked" : "play.flagged", { side: t(`play.${mark.side}`) })}{" "}
          {mark.rules.map((rule) => `${rule.id} (${rule.category})`).join(", ")}
        </p>
      ))}
      {answer && <Speed of={answer} />}
      {children}
    </article>
  );
}

/** By its tokens once it has ended, where they are known and are all of it. */
function AnswerText({ text, answer, isGrowing }: Pick<TurnProps, "text" | "answer"> & { isGrowing: boolean }) {
  const tokens = useMemo(() => (isGrowing ? [] : shownTokens(answer?.logprobs ?? [])), [answer, isGrowing]);
  const isTold = tokens.length > 0;
  const isAll = isTold && tokens.map((each) => each.text).join("") === text;
  return (
    <>
      {!isAll && (
        <p class="text" aria-busy={isGrowing && !text}>
          {text}
        </p>
      )}
      {isTold && <TokenText tokens={tokens} />}
      {!isTold && !isGrowing && answer?.logprobs && <small class="speed">{t("prob.none_came")}</small>}
    </>
  );
}

function Speed({ of }: { of: Answer }) {
  const speed = tokensPerSecond(of);
  const told = [
    of.firstTokenMs !== null && t("play.first_token", { time: shortTime(of.firstTokenMs) }),
    speed !== null && t("play.speed", { n: figure(speed) }),
    of.tokens !== null && t("play.tokens", { n: of.tokens }),
  ].filter(Boolean);
  return told.length > 0 ? <small class="speed">{told.join(" · ")}</small> : null;
}

interface AskProps {
  draft: string;
  isAnswering: boolean;
  setDraft: (draft: string) => void;
  send: () => void;
  stop: () => void;
  clear: () => void;
}

export function AskForm({ draft, isAnswering, setDraft, send, stop, clear }: AskProps) {
  const submit = (event: Event) => {
    event.preventDefault();
    send();
  };
  return (
    <form onSubmit={submit}>
      <label>
        {t("play.message")}
        <textarea
          rows={3}
          required
          value={draft}
          onInput={(event) => setDraft(event.currentTarget.value)}
          onKeyDown={(event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && submit(event)}
        />
      </label>
      <div class="actions">
        {isAnswering ? (
          <button type="button" class="secondary" onClick={stop}>
            {t("play.stop")}
          </button>
        ) : (
          <button type="submit">{t("play.send")}</button>
        )}
        <button type="button" class="secondary outline" onClick={clear}>
          {t("play.clear")}
        </button>
      </div>
    </form>
  );
}
