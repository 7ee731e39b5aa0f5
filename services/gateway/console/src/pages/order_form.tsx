/** The form of an order: fields of a request body, what is wrong with them, and what stands beside them. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { applies, isNeeded, type BodyField, type Values } from "../api/body_fields";
import { filled, placed, valuesOf, type JsonObject, type Placed } from "../api/body_values";
import { ApiError, ask } from "../api/client";
import { useOrderKey } from "../api/order_key";
import { groupTitle, type JobForm } from "../form_words";
import { BodyFieldInput, type Option } from "../parts/body_field";
import { ObjectFields } from "../parts/object_fields";
import { Refusal } from "../parts/states";
import { addressOf } from "../routing";

const NOTHING: Placed = { errors: {}, others: [] };
/** Groups of fields that are shown at once. */
const OPEN = ["", "hyperparameters", "objective"];

interface OrderFormProps {
  form: JobForm;
  /** Where orders are posted. */
  path: string;
  fields: BodyField[];
  /** Values to begin with. */
  order: JsonObject;
  /** What an order has and no field shows. */
  kept?: JsonObject;
  /** By the paths of fields; undefined while they are not known, or may not be. */
  options: Record<string, Option[] | undefined>;
  submit: string;
  /** Beside the form, by the order as it is now and whether something of it is wrong. */
  beside: (order: JsonObject, isWrong: boolean) => ComponentChildren;
}

export function OrderForm({ form, path, fields, order, kept, options, submit, beside }: OrderFormProps) {
  const [values, setValues] = useState<Values>(() => valuesOf(order));
  const ordering = useOrder(path);
  const element = useRef<HTMLFormElement>(null);
  const { body, errors } = filled(fields, values);
  const sent = { ...body, ...kept };
  const shownErrors = { ...ordering.refused.errors, ...(ordering.tries ? errors : said(errors, values)) };

  // Whoever has ordered goes on at what is wrong.
  useEffect(() => {
    if (ordering.tries) element.current?.querySelector<HTMLElement>("[aria-invalid]")?.focus();
  }, [ordering.tries]);

  function change(path: string, text: string) {
    setValues((old) => ({ ...old, [path]: text }));
    ordering.forget(path);
  }

  const shared = { form, fields, values, errors: shownErrors, options, change };
  return (
    <div class="beside">
      <form ref={element} noValidate onSubmit={(event) => (event.preventDefault(), void ordering.order(sent, errors, fields, values))}>
        {[...new Set(fields.map((field) => field.group))].map((group) => (
          <FieldGroup key={group} name={group} {...shared} />
        ))}
        <button type="submit" aria-busy={ordering.isSending} disabled={ordering.isSending}>
          {submit}
        </button>
        <Reasons of={ordering} />
      </form>
      <div class="aside">{beside(sent, Object.keys(errors).length > 0)}</div>
    </div>
  );
}

/** A field that nobody has come to yet is not wrong. */
function said(errors: Record<string, string>, values: Values): Record<string, string> {
  return Object.fromEntries(Object.entries(errors).filter(([path]) => values[path]?.trim()));
}

interface GroupProps {
  form: JobForm;
  name: string;
  fields: readonly BodyField[];
  values: Values;
  errors: Record<string, string>;
  options: Record<string, Option[] | undefined>;
  change: (path: string, text: string) => void;
}

function FieldGroup({ form, name, fields, values, errors, options, change }: GroupProps) {
  const own = fields.filter((field) => field.group === name && applies(field, values, fields));
  const isOpen = useRef(OPEN.includes(name));
  // Once open it stays so: what somebody corrects must not fold away.
  isOpen.current ||= own.some((field) => values[field.path] || errors[field.path]);
  const objects = own.find((field) => field.kind === "objects");
  if (own.length === 0) return null;
  return (
    <details open={isOpen.current}>
      <summary>{groupTitle(form, name || "first")}</summary>
      {objects && <ObjectFields {...{ form, values, errors, change }} field={objects} />}
      <div class="fields">
        {own.filter((field) => field !== objects).map((field) => (
          <BodyFieldInput
            key={field.path}
            form={form}
            field={{ ...field, isRequired: isNeeded(field, values, fields) }}
            value={values[field.path] ?? ""}
            error={errors[field.path] ?? ""}
            options={options[field.path]}
            change={(text) => change(field.path, text)}
          />
        ))}
      </div>
    </details>
  );
}

/** Why an order was refused, as far as no field says it. */
function Reasons({ of: { refused, error } }: { of: Ordering }) {
  if (error === null || Object.keys(refused.errors).length === 0) return error === null ? null : <Refusal error={error} />;
  if (refused.others.length === 0) return null;
  return (
    <div role="alert" class="refusal">
      {refused.others.map((reason) => (
        <p key={reason}>{reason}</p>
      ))}
    </div>
  );
}

interface Ordering {
  isSending: boolean;
  /** How often something wrong was to be ordered. */
  tries: number;
  refused: Placed;
  error: unknown;
  order: (body: JsonObject, errors: Record<string, string>, fields: readonly BodyField[], values: Values) => Promise<void>;
  /** What was refused of a field is no longer so once it has changed. */
  forget: (path: string) => void;
}

function useOrder(path: string): Ordering {
  const [isSending, setSending] = useState(false);
  const [tries, setTries] = useState(0);
  const [{ refused, error }, setRefusal] = useState<{ refused: Placed; error: unknown }>({ refused: NOTHING, error: null });
  const keyOf = useOrderKey();

  async function order(body: JsonObject, errors: Record<string, string>, fields: readonly BodyField[], values: Values) {
    setRefusal({ refused: NOTHING, error: null });
    if (Object.keys(errors).length > 0) return setTries((old) => old + 1);
    setSending(true);
    try {
      const headers = { "idempotency-key": keyOf(JSON.stringify(body)) };
      const job = await ask<{ id: string }>(path, { method: "POST", body, headers });
      location.hash = addressOf("jobs", job.id);
    } catch (reason) {
      setRefusal({ refused: reason instanceof ApiError ? placed(reasonsOf(reason), fields, values) : NOTHING, error: reason });
      setTries((old) => old + 1);
    }
    setSending(false);
  }

  function forget(path: string) {
    const { [path]: _, ...errors } = refused.errors;
    const isLeft = Object.keys(errors).length + refused.others.length > 0;
    setRefusal({ refused: { ...refused, errors }, error: isLeft ? error : null });
  }

  return { isSending, tries, refused, error, order, forget };
}

function reasonsOf({ errors, message }: ApiError): string[] {
  return errors.length > 0 ? errors : [message];
}
