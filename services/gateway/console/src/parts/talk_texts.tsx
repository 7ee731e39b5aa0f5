/** A question to a model as curl and Python, to be asked elsewhere; the credential is a variable of the environment. */
import { bodyOf, type ChatRequest } from "../api/chat";
import { asChatPython, curlOf } from "../api/request_texts";
import { t } from "../i18n";
import { CopiedText } from "./copied_text";

const CHAT = "/v1/chat/completions";

export function TalkTexts({ request }: { request: ChatRequest }) {
  return (
    <>
      <details>
        <summary>{t("play.curl")}</summary>
        <CopiedText name="curl" text={curlOf(CHAT, bodyOf(request), "curl -N")} />
      </details>
      <details>
        <summary>{t("play.python")}</summary>
        <p>
          <small>{t("play.python_needs")}</small>
        </p>
        <CopiedText name="Python" text={asChatPython(request)} />
      </details>
    </>
  );
}
