/** A question before something is done that cannot be undone, or that others notice at once. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { t } from "../i18n";
import { Refusal } from "./states";

interface ConfirmProps {
  label: string;
  question: string;
  act: () => void;
}

/** A button that asks. */
export function ConfirmedButton({ label, question, act }: ConfirmProps) {
  const [isAsked, setAsked] = useState(false);
  return (
    <>
      <button type="button" class="secondary outline small" onClick={() => setAsked(true)}>
        {label}
      </button>
      <Question label={label} question={question} isAsked={isAsked} close={() => setAsked(false)} act={act} />
    </>
  );
}

/** A button that asks, and says why what was asked of the API was refused. */
export function AskedButton({ act, ...asked }: Omit<ConfirmProps, "act"> & { act: () => Promise<void> }) {
  const [error, setError] = useState<unknown>(null);
  const begin = () => {
    setError(null);
    act().catch(setError);
  };
  return (
    <>
      <ConfirmedButton {...asked} act={begin} />
      {error !== null && <Refusal error={error} />}
    </>
  );
}

interface QuestionProps extends ConfirmProps {
  isAsked: boolean;
  /** Called when somebody has decided. */
  close: () => void;
  /** What is to be known to decide. */
  children?: ComponentChildren;
}

/** The question alone, for a form that asks once it is filled in. */
export function Question({ label, question, isAsked, close, act, children }: QuestionProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (isAsked) dialog.current?.showModal();
    else dialog.current?.close();
  }, [isAsked]);
  return (
    <dialog ref={dialog} aria-label={question} onClose={close}>
      <article>
        <p>{question}</p>
        {children}
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
  );
}
