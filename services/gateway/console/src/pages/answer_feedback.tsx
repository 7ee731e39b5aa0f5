/** Feedback on an answer: good, bad, or what would have been right; what was sent is shown. */
import { useState } from "preact/hooks";
import type { Answer } from "../api/chat";
import { MOST_CORRECTED, sendFeedback, type AnswerOpinion, type Score, type SentFeedback } from "../api/feedback";
import { useOrderKey } from "../api/order_key";
import { t } from "../i18n";
import { Refusal } from "../parts/states";

const SCORES: readonly (readonly [Score, "feedback.good" | "feedback.bad"])[] = [
  [1, "feedback.good"],
  [-1, "feedback.bad"],
];

export function AnswerFeedback({ answer: { requestId, text } }: { answer: Answer }) {
  const feedback = useFeedback(requestId);
  const [isCorrecting, setCorrecting] = useState(false);
  const last = feedback.sent.findLast((each) => each.score !== undefined)?.score;
  if (!requestId) return null;
  return (
    <fieldset class="feedback" aria-label={t("feedback.title")}>
      <div class="actions">
        {SCORES.map(([score, title]) => (
          <button
            key={score}
            type="button"
            class="secondary outline small"
            aria-pressed={last === score}
            onClick={() => last !== score && void feedback.send({ score })}
          >
            {t(title)}
          </button>
        ))}
        <button
          type="button"
          class="secondary outline small"
          aria-expanded={isCorrecting}
          onClick={() => setCorrecting(!isCorrecting)}
        >
          {t("feedback.correct")}
        </button>
      </div>
      {isCorrecting && <CorrectionForm text={text} feedback={feedback} done={() => setCorrecting(false)} />}
      {feedback.error !== null && <Refusal error={feedback.error} />}
      <div role="status">
        {feedback.sent.map((each) => (
          <Sent key={each.id} of={each} />
        ))}
      </div>
    </fieldset>
  );
}

interface CorrectionProps {
  /** The answer as it came. */
  text: string;
  feedback: Feedback;
  done: () => void;
}

function CorrectionForm({ text, feedback, done }: CorrectionProps) {
  const [correction, setCorrection] = useState(text);

  async function submit(event: Event) {
    event.preventDefault();
    if (await feedback.send({ correction })) done();
  }

  return (
    <form onSubmit={(event) => void submit(event)}>
      <label>
        {t("feedback.correction")}
        <textarea
          rows={4}
          required
          maxLength={MOST_CORRECTED}
          value={correction}
          onInput={(event) => setCorrection(event.currentTarget.value)}
        />
      </label>
      <button type="submit" class="small" aria-busy={feedback.isSending}>
        {t("feedback.send")}
      </button>
    </form>
  );
}

function Sent({ of: { id, score, correction } }: { of: SentFeedback }) {
  return (
    <>
      <small>
        {t("feedback.sent")} {score !== undefined && t(score > 0 ? "feedback.good" : "feedback.bad")}
        {correction !== undefined && t("feedback.correction")} <code>{id}</code>
      </small>
      {correction !== undefined && <p class="text corrected">{correction}</p>}
    </>
  );
}

interface Feedback {
  sent: readonly SentFeedback[];
  error: unknown;
  isSending: boolean;
  /** Whether it was taken. */
  send: (opinion: AnswerOpinion) => Promise<boolean>;
}

function useFeedback(requestId: string): Feedback {
  const [sent, setSent] = useState<readonly SentFeedback[]>([]);
  const [error, setError] = useState<unknown>(null);
  const [isSending, setSending] = useState(false);
  const keyOf = useOrderKey();

  async function send(opinion: AnswerOpinion): Promise<boolean> {
    if (isSending) return false;
    setError(null);
    setSending(true);
    const body = { request_id: requestId, ...opinion };
    try {
      const taken = await sendFeedback(body, keyOf(JSON.stringify(body)));
      setSent((old) => [...old, taken]);
      return true;
    } catch (refused) {
      setError(refused);
      return false;
    } finally {
      setSending(false);
    }
  }

  return { sent, error, isSending, send };
}
