/** A text to take along, with a button that copies it. */
import { useEffect, useRef, useState } from "preact/hooks";
import { t } from "../i18n";

export function CopiedText({ name, text }: { name: string; text: string }) {
  const shown = useRef<HTMLPreElement>(null);
  const [said, setSaid] = useState<"" | "copy.done" | "copy.by_hand">("");
  useEffect(() => setSaid(""), [text]);

  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      setSaid("copy.done");
    } catch {
      // Where a page came without TLS from another machine there is no clipboard.
      if (shown.current) getSelection()?.selectAllChildren(shown.current);
      setSaid("copy.by_hand");
    }
  }

  return (
    <>
      <pre ref={shown} tabIndex={0} aria-label={name}>
        {text}
      </pre>
      <div class="actions">
        <button type="button" class="secondary outline small" aria-label={t("copy.named", { name })} onClick={() => void copy()}>
          {t("copy.copy")}
        </button>
        <small role="status">{said && t(said)}</small>
      </div>
    </>
  );
}
