/** How rows become conversations: a known layout, or templates with the names of columns. */
import { LAYOUTS, type Mapping } from "../api/mapping";
import { t } from "../i18n";

interface MappingFormProps {
  columns: readonly string[];
  mapping: Mapping;
  change: (mapping: Mapping) => void;
  show: () => void;
}

const TEMPLATES = ["system_template", "user_template", "answer_template"] as const;

export function MappingForm({ columns, mapping, change, show }: MappingFormProps) {
  return (
    <section aria-labelledby="mapping">
      <h2 id="mapping">{t("new_data.mapping")}</h2>
      {columns.length > 0 && <p>{t("new_data.columns", { columns: columns.map((name) => `{${name}}`).join(", ") })}</p>}
      <form onSubmit={(event) => (event.preventDefault(), show())}>
        <label>
          {t("new_data.layout")}
          <select value={mapping.layout} onChange={(event) => change({ ...mapping, layout: event.currentTarget.value })}>
            <option value="">{t("new_data.templates")}</option>
            {LAYOUTS.map((layout) => (
              <option key={layout} value={layout}>
                {layout}
              </option>
            ))}
          </select>
        </label>
        {mapping.layout === "" &&
          TEMPLATES.map((field) => (
            <label key={field}>
              {t(`new_data.${field}`)}
              <textarea
                rows={2}
                value={mapping[field]}
                required={field !== "system_template"}
                onInput={(event) => change({ ...mapping, [field]: event.currentTarget.value })}
              />
            </label>
          ))}
        <button type="submit" class="secondary">
          {t("new_data.preview")}
        </button>
      </form>
    </section>
  );
}
