/** What takes a version away: to another program, or for good. */
import { ask } from "../api/client";
import { identity, mayOpen } from "../api/identity";
import type { Version } from "../api/types";
import { t } from "../i18n";
import { AskedButton } from "../parts/confirm";
import { CopiedText } from "../parts/copied_text";
import { addressOf } from "../routing";

/** Weights are files of the machine that has them; no request carries them. */
export function ModelExport({ id }: { id: string }) {
  return (
    <details>
      <summary>{t("model.export")}</summary>
      <p>{t("model.export_how")}</p>
      <CopiedText name="mill" text={`mill models export ${id} FOLDER`} />
    </details>
  );
}

/** For who may, of a version of the own tenant: a shared one is not theirs. */
export function DeleteVersion({ version }: { version: Version }) {
  const isOwn = version.owned_by === identity.value.data?.tenant;
  if (!isOwn || !mayOpen(["models:write"])) return null;

  async function remove() {
    await ask(`/v1/models/${encodeURIComponent(version.id)}`, { method: "DELETE" });
    location.hash = addressOf("models");
  }

  return (
    <div class="actions">
      <AskedButton label={t("model.delete")} question={t("model.delete_asked", { id: version.id })} act={remove} />
    </div>
  );
}
