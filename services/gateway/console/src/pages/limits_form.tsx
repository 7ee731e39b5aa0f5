/** A form that sets the limits of a tenant or a key, in place of all earlier ones. */
import { useState } from "preact/hooks";
import { ask } from "../api/client";
import { limitsBody, writtenLimits, type Limits } from "../api/limits";
import { t } from "../i18n";
import { LimitFields } from "../parts/limits";
import { SameRequest } from "../parts/same_request";
import { Refusal } from "../parts/states";

interface LimitsFormProps {
  /** Where limits are put; of a key, what else it has stays. */
  path: string;
  method?: "PUT" | "PATCH";
  /** What programs call for it, and of whom. */
  call: string;
  first?: string;
  limits: Limits;
  changed: () => void;
}

export function LimitsForm({ path, method = "PUT", call, first, limits, changed }: LimitsFormProps) {
  const [written, setWritten] = useState(writtenLimits(limits));
  const [isSaved, setSaved] = useState(false);
  const [error, setError] = useState<unknown>(null);

  const body = { limits: { ...limitsBody(written) } };

  async function submit(event: Event) {
    event.preventDefault();
    setError(null);
    setSaved(false);
    try {
      await ask(path, { method, body });
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
      <SameRequest {...{ method, path, call, body }} {...(first === undefined ? {} : { first })} />
    </form>
  );
}
