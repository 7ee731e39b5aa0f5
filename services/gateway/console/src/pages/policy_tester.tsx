/** A text to try the policy in force on: the verdict, the rules that matched, and where they did. */
import { useState } from "preact/hooks";
import { judge, partsOf, type MatchedText } from "../api/policies";
import { whole } from "../format";
import { named, t } from "../i18n";
import { SameRequest } from "../parts/same_request";
import { Refusal } from "../parts/states";
import { Table } from "../parts/table";

const COLUMNS = ["policy.rule", "policy.category", "policy.action", "policy.where", "policy.matched"] as const;

interface Judged {
  text: string;
  verdict: Awaited<ReturnType<typeof judge>>;
}

export function PolicyTester() {
  const [text, setText] = useState("");
  const [judged, setJudged] = useState<Judged | null>(null);
  const [error, setError] = useState<unknown>(null);

  async function test(event: Event) {
    event.preventDefault();
    setJudged(null);
    setError(null);
    try {
      setJudged({ text, verdict: await judge(text) });
    } catch (refused) {
      setError(refused);
    }
  }

  return (
    <section aria-labelledby="tester">
      <h2 id="tester">{t("policy.tester")}</h2>
      <form onSubmit={(event) => void test(event)}>
        <label>
          {t("policy.text")}
          <textarea rows={4} required value={text} onInput={(event) => setText(event.currentTarget.value)} />
        </label>
        <button type="submit" class="secondary">
          {t("policy.test")}
        </button>
        <SameRequest method="POST" path="/v1/moderations" call="moderations.create" body={{ input: text }} />
      </form>
      {error !== null && <Refusal error={error} />}
      {judged && <Verdict of={judged} />}
    </section>
  );
}

function Verdict({ of: { text, verdict } }: { of: Judged }) {
  const said = verdict.blocked ? "policy.blocked" : verdict.flagged ? "policy.flagged" : "policy.allowed";
  return (
    <div>
      <p role="status">
        <strong>{t(said)}</strong>
      </p>
      <p>
        {t("policy.judged_by")} <code>{verdict.digest}</code>
      </p>
      {verdict.unanswered.length > 0 && <p>{t("policy.unanswered", { judges: verdict.unanswered.join(", ") })}</p>}
      {verdict.matches.length > 0 && (
        <>
          <p class="text">
            {partsOf(text, verdict.matches).map((part, n) => (part.isMatched ? <mark key={n}>{part.text}</mark> : part.text))}
          </p>
          <Table labelledBy="tester" head={COLUMNS.map((key) => t(key))}>
            {verdict.matches.map((match) => (
              <MatchRow key={match.id} text={text} match={match} />
            ))}
          </Table>
        </>
      )}
    </div>
  );
}

function MatchRow({ text, match }: { text: string; match: MatchedText }) {
  return (
    <tr>
      <th scope="row">{match.id}</th>
      <td>{match.category}</td>
      <td>{named("policy.action", match.action)}</td>
      <td>{t("policy.place", { first: whole(match.start + 1), last: whole(match.end) })}</td>
      <td class="text">{[...text].slice(match.start, match.end).join("")}</td>
    </tr>
  );
}
