/** A text of others, whole where it is short; the rest of a long one is folded away. */
const SHOWN_CHARS = 400;

export function LongText({ text }: { text: string }) {
  // By characters, not by halves of them.
  const head = text.length > SHOWN_CHARS ? Array.from(text.slice(0, 2 * SHOWN_CHARS)).slice(0, SHOWN_CHARS).join("") : text;
  if (head.length === text.length) return <p class="text">{text}</p>;
  return (
    <details>
      <summary class="text">{head}…</summary>
      <p class="text">{text.slice(head.length)}</p>
    </details>
  );
}
