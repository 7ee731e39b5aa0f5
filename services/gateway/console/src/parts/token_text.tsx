/** An answer by its tokens, each shaded by how likely it was; what else could have stood there, by mouse and keyboard. */
import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { TokenProbability } from "../api/token_probabilities";
import { share } from "../format";
import { t } from "../i18n";

/** Tokens less likely than one of these are shaded more. */
const LEVELS = [0.9, 0.6, 0.3, 0.1];

export function TokenText({ tokens }: { tokens: readonly TokenProbability[] }) {
  const [place, setPlace] = useState<number | null>(null);
  const list = useRef<HTMLDivElement>(null);
  const id = useId();
  const chosen = place === null ? undefined : tokens[place];
  useEffect(() => {
    if (place !== null) list.current?.children[place]?.scrollIntoView({ block: "nearest" });
  }, [place]);

  function move(event: KeyboardEvent) {
    const next = placeAfter(event.key, place, tokens.length);
    if (next === null) return;
    event.preventDefault();
    setPlace(next);
  }

  return (
    <>
      <div
        ref={list}
        class="text tokens"
        role="listbox"
        tabIndex={0}
        aria-orientation="horizontal"
        aria-label={t("prob.tokens")}
        aria-activedescendant={place === null ? undefined : `${id}-${place}`}
        onFocus={() => place === null && setPlace(0)}
        onKeyDown={move}
      >
        {tokens.map((token, n) => (
          <span
            key={n}
            id={`${id}-${n}`}
            role="option"
            class={`token level${levelOf(token.probability)}`}
            aria-selected={n === place}
            aria-label={`${visible(token.text)} ${share(token.probability)}`}
            onMouseEnter={() => setPlace(n)}
            onClick={() => setPlace(n)}
          >
            {visible(token.text)}
          </span>
        ))}
      </div>
      <div class="alternatives" role="status">
        {chosen ? <Alternatives of={chosen} /> : <small>{t("prob.how")}</small>}
      </div>
    </>
  );
}

function Alternatives({ of: { text, probability, alternatives } }: { of: TokenProbability }) {
  const others = alternatives.filter((each) => each.text !== text);
  return (
    <>
      <small>
        <code>{quoted(text)}</code> {share(probability)}
        {others.length === 0 && ` · ${t("prob.no_alternatives")}`}
      </small>
      {others.length > 0 && (
        <ul aria-label={t("prob.alternatives")}>
          {others.map((each) => (
            <li key={each.text}>
              <code>{quoted(each.text)}</code> {share(each.probability)}
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

function placeAfter(key: string, place: number | null, length: number): number | null {
  const now = place ?? -1;
  const places: Record<string, number> = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: length - 1 };
  const next = places[key];
  return next === undefined ? null : Math.max(0, Math.min(length - 1, next));
}

function levelOf(probability: number): number {
  return LEVELS.filter((level) => probability < level).length;
}

/** Spaces and line ends can be seen. */
function quoted(text: string): string {
  return JSON.stringify(text);
}

function visible(text: string): string {
  return text.replaceAll("\n", "↵\n");
}
