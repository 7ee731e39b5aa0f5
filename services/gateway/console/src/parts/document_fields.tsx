/** Documents that are written by hand, and what is wrong in them, by line. */
import type { PlacedError, PolicyDocument } from "../api/policies";
import { whole } from "../format";
import { t } from "../i18n";
import { Table } from "./table";

const EXAMPLE = `rules:
- id: project-name
  category: confidential
  severity: high
  action: mask
  directions: both
  keywords: [blue heron]
`;

interface DocumentFieldsProps {
  documents: readonly PolicyDocument[];
  change: (documents: readonly PolicyDocument[]) => void;
}

export function DocumentFields({ documents, change }: DocumentFieldsProps) {
  const edit = (place: number, part: Partial<PolicyDocument>) =>
    change(documents.map((each, n) => (n === place ? { ...each, ...part } : each)));
  return (
    <>
      {documents.map(({ name, text }, n) => (
        <fieldset key={n}>
          <label>
            {t("policy.document")}
            <input required maxLength={128} value={name} onInput={(event) => edit(n, { name: event.currentTarget.value })} />
          </label>
          <label>
            {t("policy.yaml")}
            <textarea
              id={idOf(n)}
              class="code"
              rows={12}
              required
              spellcheck={false}
              placeholder={EXAMPLE}
              value={text}
              onInput={(event) => edit(n, { text: event.currentTarget.value })}
            />
          </label>
          {documents.length > 1 && (
            <button type="button" class="secondary outline small" onClick={() => change(documents.filter((_, place) => place !== n))}>
              {t("policy.drop_document")}
            </button>
          )}
        </fieldset>
      ))}
      <p>
        <button type="button" class="secondary outline small" onClick={() => change([...documents, { name: "", text: "" }])}>
          {t("policy.add_document")}
        </button>
      </p>
    </>
  );
}

interface DocumentErrorsProps {
  errors: readonly PlacedError[];
  documents: readonly PolicyDocument[];
}

export function DocumentErrors({ errors, documents }: DocumentErrorsProps) {
  return (
    <div role="alert" class="refusal">
      <p id="errors">{t("policy.wrong")}</p>
      <Table labelledBy="errors" head={[t("policy.document"), t("policy.line"), t("policy.error")]}>
        {errors.map((each) => (
          <tr key={JSON.stringify(each)}>
            <td>{each.document}</td>
            <td>{each.line !== null && <LineButton at={each} documents={documents} />}</td>
            <td>{each.message}</td>
          </tr>
        ))}
      </Table>
    </div>
  );
}

/** Goes to the line in the field in which it is written. */
function LineButton({ at, documents }: { at: PlacedError; documents: readonly PolicyDocument[] }) {
  const line = at.line ?? 1;

  function go() {
    const place = documents.findIndex(({ name }) => name === at.document);
    const field = document.getElementById(idOf(place));
    if (!(field instanceof HTMLTextAreaElement)) return;
    const lines = field.value.split("\n");
    const start = lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0);
    field.focus();
    field.setSelectionRange(start, start + (lines[line - 1]?.length ?? 0));
  }

  return (
    <button type="button" class="secondary outline small" aria-label={t("policy.go_to", { line })} onClick={go}>
      {whole(line)}
    </button>
  );
}

function idOf(place: number): string {
  return `document-${place}`;
}
