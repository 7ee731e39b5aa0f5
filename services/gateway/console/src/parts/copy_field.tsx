/** A text that is shown to be copied, such as a secret that is told once. */
import { useRef, useState } from "preact/hooks";
import { t } from "../i18n";

export function CopyField({ label, value }: { label: string; value: string }) {
  const field = useRef<HTMLInputElement>(null);
  const [told, setTold] = useState<"copy.done" | "copy.by_hand" | null>(null);

  async function copy() {
    field.current?.select();
    try {
      // There is no clipboard where the page came over plain HTTP from another machine.
      await navigator.clipboard.writeText(value);
      setTold("copy.done");
    } catch {
      setTold("copy.by_hand");
    }
  }

  return (
    <>
      <label>
        {label}
        <input ref={field} class="secret" readOnly autocomplete="off" spellcheck={false} value={value} />
      </label>
      <div class="actions">
        <button type="button" class="small" onClick={() => void copy()}>
          {t("copy.copy")}
        </button>
        <span role="status">{told && t(told)}</span>
      </div>
    </>
  );
}
