/** Fields of a request body, as the OpenAPI document of the gateway describes them. */

export interface Schema {
  $ref?: string;
  type?: string;
  enum?: Scalar[];
  const?: Scalar;
  anyOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  description?: string;
  default?: unknown;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  maxLength?: number;
  "x-applies-to"?: Conditions;
}

export interface ApiDocument {
  components: { schemas: Record<string, Schema> };
}

type Scalar = string | number | boolean | null;
/** Values of other fields, by their paths, with which a field has a meaning; null where those are left out. */
type Conditions = Record<string, Scalar[]>;

export interface BodyField {
  /** Names from the body to the field, with dots. */
  path: string;
  name: string;
  /** Path of the object that it is in; empty for the body. */
  group: string;
  kind: "choice" | "flag" | "number" | "integer" | "text" | "list";
  choices: Scalar[];
  /** That may stand for a number. */
  words: string[];
  /** Of the branch that is not a word. */
  limits: Schema;
  description: string;
  isRequired: boolean;
  initial: unknown;
  appliesTo: Conditions;
}

/** What is typed into fields, by their paths; an empty text leaves a field out. */
export type Values = Record<string, string>;

const SCHEMAS = "#/components/schemas/";

/**
 * Every field that a form can show; those of another shape are left out.
 *
 * @param leftOut paths of fields and objects that are not asked for.
 */
export function fieldsOf(document: ApiDocument, name: string, leftOut: readonly string[]): BodyField[] {
  return within(document, document.components.schemas[name] ?? {}, "", leftOut);
}

function within(document: ApiDocument, schema: Schema, group: string, leftOut: readonly string[]): BodyField[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, own]) => {
    const path = group ? `${group}.${name}` : name;
    if (leftOut.includes(path)) return [];
    const branches = branchesOf(document, own);
    const inner = branches.find((each) => each.properties);
    if (inner) return within(document, inner, path, leftOut);
    const shape = shapeOf(branches);
    if (shape === null) return [];
    return [{ ...shape, ...saidOf(own), path, name, group, isRequired: schema.required?.includes(name) ?? false }];
  });
}

function branchesOf(document: ApiDocument, schema: Schema): Schema[] {
  if (schema.$ref) return branchesOf(document, document.components.schemas[schema.$ref.replace(SCHEMAS, "")] ?? {});
  if (schema.anyOf) return schema.anyOf.flatMap((each) => branchesOf(document, each));
  return [schema];
}

function saidOf(schema: Schema): Pick<BodyField, "description" | "initial" | "appliesTo"> {
  return { description: schema.description ?? "", initial: schema.default ?? null, appliesTo: schema["x-applies-to"] ?? {} };
}

type Shape = Pick<BodyField, "kind" | "choices" | "words" | "limits">;

function shapeOf(branches: Schema[]): Shape | null {
  const choices = branches.flatMap((each) => each.enum ?? (each.const === undefined ? [] : [each.const]));
  const limits = branches.find((each) => each.type !== "null" && !each.enum && each.const === undefined);
  if (limits === undefined) return choices.length ? { kind: "choice", choices, words: [], limits: {} } : null;
  const words = choices.map(String);
  if (limits.type === "number" || limits.type === "integer") return { kind: limits.type, choices: [], words, limits };
  if (limits.type === "boolean") {
    // Where null is none of its values, a box is either checked or not.
    const isOpen = branches.some((each) => each.type === "null");
    return { kind: isOpen ? "choice" : "flag", choices: isOpen ? [true, false] : [], words: [], limits };
  }
  if (limits.type === "string") return { kind: "text", choices: [], words: [], limits };
  return limits.type === "array" && limits.items?.type === "string" ? { kind: "list", choices: [], words: [], limits } : null;
}

/** Whether a field has a meaning beside what is typed into the others. */
export function applies(field: BodyField, values: Values, fields: readonly BodyField[]): boolean {
  return Object.entries(field.appliesTo).every(([path, allowed]) => {
    const other = fields.find((each) => each.path === path);
    const now = values[path] || (other?.initial ?? null);
    return other === undefined || allowed.some((each) => (each === null ? now === null : String(each) === String(now)));
  });
}
