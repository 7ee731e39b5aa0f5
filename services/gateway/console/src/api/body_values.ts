/** A request body from what is typed into its fields, what is wrong with that, and the way back. */
import { applies, fieldsAt, isNeeded, placesOf, type BodyField, type Values } from "./body_fields";
import { t } from "../i18n";

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
export type JsonObject = { [name: string]: Json };

export interface Filled {
  body: JsonObject;
  /** What is wrong, by the paths of fields. */
  errors: Record<string, string>;
}

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const WHOLE = /^[+-]?\d+$/;

/**
 * What differs from the defaults, and has a meaning beside the rest.
 *
 * @param base path of the object whose fields these are, with a dot behind it.
 */
export function filled(fields: readonly BodyField[], values: Values, base = ""): Filled {
  const made: Filled = { body: {}, errors: {} };
  for (const field of fields) {
    if (field.kind === "objects") {
      const objects = placesOf(field, values).map((place) => filled(fieldsAt(field, place), values, `${field.path}.${place}.`));
      put(made.body, field, objects.map(({ body }) => body), base);
      Object.assign(made.errors, ...objects.map(({ errors }) => errors));
      continue;
    }
    const text = values[field.path]?.trim() ?? "";
    if (!text && isNeeded(field, values, fields, base)) made.errors[field.path] = t("field.required");
    if (!text || !applies(field, values, fields)) continue;
    const error = errorOf(field, text);
    if (error) made.errors[field.path] = error;
    else put(made.body, field, valueOf(field, text), base);
  }
  return made;
}

function put(body: JsonObject, field: BodyField, value: Json, base: string) {
  if (JSON.stringify(value) === JSON.stringify(field.initial)) return;
  const names = field.path.slice(base.length).split(".").slice(0, -1);
  const inner = names.reduce((object, name) => (object[name] ??= {}) as JsonObject, body);
  inner[field.name] = value;
}

function valueOf(field: BodyField, text: string): Json {
  if (field.kind === "choice") return field.choices.find((each) => String(each) === text) ?? text;
  if (field.kind === "flag") return text === "true";
  if (field.kind === "list") return hasNumbers(field) ? partsOf(text).map(Number) : partsOf(text);
  const isWord = field.kind === "text" || field.words.includes(text);
  return isWord ? text : Number(text);
}

function hasNumbers({ limits }: BodyField): boolean {
  return limits.items?.type === "integer";
}

function partsOf(text: string): string[] {
  return text
    .split(",")
    .map((each) => each.trim())
    .filter(Boolean);
}

function errorOf(field: BodyField, text: string): string {
  const { maxLength } = field.limits;
  if (field.kind === "text") return maxLength !== undefined && text.length > maxLength ? t("field.long", { most: maxLength }) : "";
  if (field.kind === "list" && hasNumbers(field)) return partsOf(text).every((each) => WHOLE.test(each)) ? "" : t("field.integers");
  if (field.kind !== "number" && field.kind !== "integer") return "";
  if (field.words.includes(text)) return "";
  const isNumber = (field.kind === "integer" ? WHOLE : NUMBER).test(text);
  if (!isNumber) return wrongKind(field);
  // A larger whole number would be sent as another one.
  if (field.kind === "integer" && !Number.isSafeInteger(Number(text))) return t("field.most", { most: Number.MAX_SAFE_INTEGER });
  return outside(field, Number(text));
}

function wrongKind({ kind, words }: BodyField): string {
  const wanted = kind === "integer" ? t("field.integer") : t("field.number");
  return words.length ? `${wanted} ${t("field.or", { words: words.join(", ") })}` : wanted;
}

function outside({ limits }: BodyField, value: number): string {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = limits;
  if (minimum !== undefined && value < minimum) return t("field.least", { least: minimum });
  if (maximum !== undefined && value > maximum) return t("field.most", { most: maximum });
  if (exclusiveMinimum !== undefined && value <= exclusiveMinimum) return t("field.above", { least: exclusiveMinimum });
  if (exclusiveMaximum !== undefined && value >= exclusiveMaximum) return t("field.below", { most: exclusiveMaximum });
  return "";
}

/** What would have to be typed for a body; fields that it leaves out stay out. */
export function valuesOf(body: JsonObject, group = ""): Values {
  const found = Object.entries(body).map(([name, value]) => {
    const path = group ? `${group}.${name}` : name;
    if (value === null) return {};
    if (Array.isArray(value)) return listed(value, path);
    return typeof value === "object" ? valuesOf(value, path) : { [path]: String(value) };
  });
  return Object.assign({}, ...found) as Values;
}

/** Objects have a number each, as `placesOf` reads them. */
function listed(list: Json[], path: string): Values {
  const objects = list.filter((each) => each !== null && typeof each === "object" && !Array.isArray(each)) as JsonObject[];
  if (objects.length === 0) return { [path]: list.join(", ") };
  return Object.assign({ [path]: objects.map((_, n) => n).join() }, ...objects.map((each, n) => valuesOf(each, `${path}.${n}`))) as Values;
}

const FIELD = /^[A-Za-z0-9_.]+/;

export interface Placed {
  errors: Record<string, string>;
  /** Those that name no field that is shown. */
  others: string[];
}

/** Reasons of a refusal beside the fields that they begin with: by the whole path, or else by the last name. */
export function placed(reasons: readonly string[], fields: readonly BodyField[], values: Values): Placed {
  const made: Placed = { errors: {}, others: [] };
  const inLists = new Map(fields.flatMap((field) => placesOf(field, values).flatMap((place, n) => sentAs(field, place, n))));
  for (const reason of reasons) {
    const path = FIELD.exec(reason)?.[0] ?? "";
    const name = path.split(".").at(-1);
    const field = fields.find((each) => each.path === path) ?? fields.find((each) => each.name === name);
    const shown = inLists.get(path) ?? (field?.kind === "objects" ? undefined : field?.path);
    if (shown) made.errors[shown] = [made.errors[shown], reason].filter(Boolean).join(" ");
    else made.others.push(reason);
  }
  return made;
}

/** Paths of an object's fields in the body, each with that in the form: there, what was removed leaves a gap. */
function sentAs(field: BodyField, place: number, n: number): [string, string][] {
  return fieldsAt(field, place).map(({ path }) => [path.replace(`${field.path}.${place}.`, `${field.path}.${n}.`), path]);
}
