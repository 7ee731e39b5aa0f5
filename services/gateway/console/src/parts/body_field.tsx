/** One field of a request body: its name, what is typed, what it means and what is wrong with it. */
import { useRef, useState } from "preact/hooks";
import type { BodyField } from "../api/body_fields";
import { fieldTitle, hintOf, type JobForm } from "../form_words";
import { t } from "../i18n";

export interface Option {
  value: string;
  label: string;
}

/** Characters beyond which a text has lines. */
const LONG = 1000;

export interface BodyFieldProps {
  /** By which its words are chosen. */
  form: JobForm;
  field: BodyField;
  value: string;
  error: string;
  /** What there is to choose from, where the API knows more than the field says. */
  options?: readonly Option[] | undefined;
  change: (text: string) => void;
}

export function BodyFieldInput(props: BodyFieldProps) {
  const { form, field, error } = props;
  const isFlag = field.kind === "flag";
  return (
    <div class="field">
      {isFlag && <Control {...props} />}
      <label for={idOf(field)}>
        {fieldTitle(form, field.name)}
        {field.isRequired && <span aria-hidden="true"> *</span>}
      </label>
      {!isFlag && <Control {...props} />}
      {error && (
        <small id={`${idOf(field)}-error`} class="error">
          {error}
        </small>
      )}
      <Hint form={form} of={field} />
    </div>
  );
}

/** What it means; in the language of the API's documentation where the console has no words of its own for it. */
function Hint({ form, of }: { form: JobForm; of: BodyField }) {
  if (!of.description) return null;
  const hint = hintOf(form, of.path);
  return (
    <small id={`${idOf(of)}-help`} {...(hint === null ? { lang: "en" } : {})}>
      {hint ?? of.description}
    </small>
  );
}

function idOf(field: BodyField): string {
  return `field-${field.path}`;
}

function Control({ field, value, error, options: newest, change }: BodyFieldProps) {
  const { options, ...watch } = useUndisturbed(newest);
  const about = [error && `${idOf(field)}-error`, field.description && `${idOf(field)}-help`].filter(Boolean).join(" ");
  const common = {
    id: idOf(field),
    required: field.isRequired,
    ...(about ? { "aria-describedby": about } : {}),
    ...(error ? { "aria-invalid": "true" as const } : {}),
    ...watch,
  };
  if (field.kind === "flag") {
    const isChecked = (value || String(field.initial)) === "true";
    return <input {...common} type="checkbox" checked={isChecked} onChange={(event) => change(String(event.currentTarget.checked))} />;
  }
  const choices = options ?? field.choices.filter((each) => each !== null).map((each) => ({ value: String(each), label: String(each) }));
  if (options || field.kind === "choice") {
    return (
      <select {...common} value={value} onChange={(event) => change(event.currentTarget.value)}>
        <option value="">{unsaid(field) || t("field.none")}</option>
        {withOwn(choices, value).map(OptionElement)}
      </select>
    );
  }
  if ((field.limits.maxLength ?? 0) > LONG) {
    return (
      <textarea {...common} class="code" rows={6} value={value} spellcheck={false} onInput={(event) => change(event.currentTarget.value)} />
    );
  }
  const suggested = newest && `${idOf(field)}-options`;
  const isNumber = (field.kind === "number" || field.kind === "integer") && field.words.length === 0;
  return (
    <>
      <input
        {...common}
        value={value}
        list={suggested}
        placeholder={unsaid(field)}
        inputMode={isNumber ? "decimal" : "text"}
        autocomplete="off"
        spellcheck={false}
        onInput={(event) => change(event.currentTarget.value)}
      />
      {suggested && <datalist id={suggested}>{newest.map(OptionElement)}</datalist>}
    </>
  );
}

interface Undisturbed {
  options: readonly Option[] | undefined;
  onFocus: () => void;
  onBlur: (event: FocusEvent) => void;
}

/** Options that come while somebody is at the field wait: a control that is replaced loses focus and text. */
function useUndisturbed(newest: readonly Option[] | undefined): Undisturbed {
  const [isAtIt, setAtIt] = useState(false);
  const shown = useRef(newest);
  if (!isAtIt) shown.current = newest;
  return {
    options: shown.current,
    onFocus: () => setAtIt(true),
    // Of a window that is left for another one the field keeps the focus.
    onBlur: ({ currentTarget }) => setAtIt(currentTarget === document.activeElement),
  };
}

function OptionElement({ value, label }: Option) {
  return (
    <option key={value} value={value}>
      {label}
    </option>
  );
}

/** What a field that is left empty means. */
function unsaid({ isRequired, initial, kind }: BodyField): string {
  if (isRequired) return t("field.choose");
  if (initial === null) return kind === "text" ? "" : t("field.default");
  // An empty text or list says nothing; what it means stands below the field.
  if (String(initial) === "") return "";
  return t("field.default_is", { value: String(initial) });
}

/** An order that is repeated may name what is on no list any more. */
function withOwn(options: readonly Option[], value: string): readonly Option[] {
  return !value || options.some((each) => each.value === value) ? options : [...options, { value, label: value }];
}
