/** What a form asks as curl and Python, folded away, to be asked elsewhere. */
import { callOf, curlOf, type FormRequest } from "../api/request_texts";
import { t } from "../i18n";
import { CopiedText } from "./copied_text";

export function SameRequest(request: FormRequest) {
  const { method, path, body } = request;
  return (
    <details>
      <summary>{t("train.request")}</summary>
      <CopiedText name="curl" text={curlOf(path, body, method === "POST" ? "curl" : `curl -X ${method}`)} />
      <CopiedText name="Python" text={callOf(request)} />
    </details>
  );
}
