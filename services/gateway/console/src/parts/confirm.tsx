/** A button that asks before it does what cannot be undone. */
import { useRef } from "preact/hooks";
import { t } from "../i18n";

interface ConfirmProps {
  label: string;
  question: string;
  act: () => void;
}

export function ConfirmedButton({ label, question, act }: ConfirmProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const close = () => dialog.current?.close();
  return (
    <>
      <button type="button" class="secondary outline small" onClick={() => dialog.current?.showModal()}>
        {label}
      </button>
      <dialog ref={dialog} aria-label={question}>
        <article>
          <p>{question}</p>
          <footer>
            <button type="button" class="secondary" onClick={close}>
              {t("confirm.no")}
            </button>{" "}
            <button type="button" onClick={() => (close(), act())}>
              {label}
            </button>
          </footer>
        </article>
      </dialog>
    </>
  );
}
