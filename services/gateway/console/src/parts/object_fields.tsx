/** A list of objects in a request body: the fields of each, and buttons that add and remove one. */
import { useRef } from "preact/hooks";
import { fieldsAt, placesOf, type BodyField, type Values } from "../api/body_fields";
import { groupTitle, type JobForm } from "../form_words";
import { t } from "../i18n";
import { BodyFieldInput } from "./body_field";

interface ObjectFieldsProps {
  form: JobForm;
  field: BodyField;
  values: Values;
  errors: Record<string, string>;
  change: (path: string, text: string) => void;
}

export function ObjectFields({ form, field, values, errors, change }: ObjectFieldsProps) {
  const adding = useRef<HTMLButtonElement>(null);
  const places = placesOf(field, values);
  const title = groupTitle(form, field.name);

  function remove(place: number) {
    change(field.path, places.filter((each) => each !== place).join());
    // The button that had the focus is gone.
    adding.current?.focus();
  }

  return (
    <>
      {places.map((place, n) => (
        <fieldset key={place}>
          <legend>{t("order.one_of", { title, n: n + 1 })}</legend>
          <div class="fields">
            {fieldsAt(field, place).map((each) => (
              <BodyFieldInput
                key={each.path}
                form={form}
                field={each}
                value={values[each.path] ?? ""}
                error={errors[each.path] ?? ""}
                change={(text) => change(each.path, text)}
              />
            ))}
          </div>
          <button type="button" class="secondary outline small" onClick={() => remove(place)}>
            {t("order.remove", { title, n: n + 1 })}
          </button>
        </fieldset>
      ))}
      <button
        ref={adding}
        type="button"
        class="secondary outline small"
        onClick={() => change(field.path, [...places, (places.at(-1) ?? -1) + 1].join())}
      >
        {t("order.add", { title })}
      </button>
    </>
  );
}
