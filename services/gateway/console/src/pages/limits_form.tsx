/** A form that sets the limits of a tenant, in place of all earlier ones. */
import { useState } from "preact/hooks";
import { ask } from "../api/client";
import { limitsBody, writtenLimits, type Limits } from "../api/limits";
import { t } from "../i18n";
import { LimitFields } from "../parts/limits";
import { Refusal } from "../parts/states";

interface LimitsFormProps {
  /** Where limits are put. */
  path: string;
  limits: Limits;
  changed: () => void;
}

export function LimitsForm({ path, limits, changed }: LimitsFormProps) {
  const [written, setWritten] = useState(writtenLimits(limits));
  const [isSaved, setSaved] = useState(false);
  const [error, setError] = useState<unknown>(null);

  async function submit(event: Event) {
    event.preventDefault();
    setError(null);
    setSaved(false);
    try {
      await ask(path, { method: "PUT", body: { limits: limitsBody(written) } });
      setSaved(true);
    } catch (refused) {
      setError(refused);
    }
    changed();
  }

  return (
    <form onSubmit={(event) => void submit(event)}>
      <LimitFields written={written} change={setWritten} />
      {error !== null && <Refusal error={error} />}
      <div class="actions">
        <button type="submit" class="secondary">
          {t("limit.set")}
        </button>
        <span role="status">{isSaved && t("limit.saved")}</span>
      </div>
    </form>
  );
}
