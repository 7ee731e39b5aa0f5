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
  kind: "choice" | "flag" | "number" | "integer" | "text" | "list" | "objects";
  choices: Scalar[];
  /** That may stand for a number. */
  words: string[];
  /** Of the branch that is not a word. */
  limits: Schema;
  /** Fields of each object of a list. */
  items: BodyField[];
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
    const isRequired = schema.required?.includes(name) ?? false;
    const items = itemsOf(document, branches, path, leftOut);
    // A list of objects is a group of its own.
    if (items.length > 0) return [{ ...OBJECTS, ...saidOf(own), items, path, name, group: path, isRequired }];
    const shape = shapeOf(branches);
    if (shape === null) return [];
    return [{ ...shape, ...saidOf(own), items, path, name, group, isRequired }];
  });
}

const OBJECTS = { kind: "objects", choices: [], words: [], limits: {} } as const satisfies Shape;

/** Fields of the objects in a list; none of another shape. */
function itemsOf(document: ApiDocument, branches: Schema[], path: string, leftOut: readonly string[]): BodyField[] {
  const one = branches.find((each) => each.items)?.items;
  const inner = one && branchesOf(document, one).find((each) => each.properties);
  return inner ? within(document, inner, path, leftOut) : [];
}

/** Numbers of the objects that somebody has added to a list. */
export function placesOf(field: BodyField, values: Values): number[] {
  return (values[field.path] ?? "").split(",").filter(Boolean).map(Number);
}

/** The fields of one of them. */
export function fieldsAt(field: BodyField, place: number): BodyField[] {
  return field.items.map((each) => ({ ...each, path: `${field.path}.${place}${each.path.slice(field.path.length)}` }));
}

/**
 * Whether it has to be filled in: with the body, or with the object that it is in once somebody begins that.
 *
 * @param base path of the object whose fields these are, with a dot behind it.
 */
export function isNeeded(field: BodyField, values: Values, fields: readonly BodyField[], base = ""): boolean {
  const parent = field.path.slice(0, -field.name.length);
  return field.isRequired && (parent === base || fields.some(({ path }) => path.startsWith(parent) && values[path]?.trim()));
}

function branchesOf(document: ApiDocument, schema: Schema): Schema[] {
  if (schema.$ref) return branchesOf(document, document.components.schemas[schema.$ref.replace(SCHEMAS, "")] ?? {});
  if (schema.anyOf) return schema.anyOf.flatMap((each) => branchesOf(document, each));
  return [schema];
}

function saidOf(schema: Schema): Pick<BodyField, "description" | "initial" | "appliesTo"> {
  return { description: schema.description ?? "", initial: schema.default ?? null, appliesTo: schema["x-applies-to"] ?? {} };
}

/** Of what a list is typed with commas. */
const LISTED: readonly string[] = ["string", "integer"];

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
  const isList = limits.type === "array" && LISTED.includes(limits.items?.type ?? "");
  return isList ? { kind: "list", choices: [], words: [], limits } : null;
}

/** Whether a field has a meaning beside what is typed into the others. */
export function applies(field: BodyField, values: Values, fields: readonly BodyField[]): boolean {
  return Object.entries(field.appliesTo).every(([path, allowed]) => {
    const other = fields.find((each) => each.path === path);
    const now = values[path] || (other?.initial ?? null);
    return other === undefined || allowed.some((each) => (each === null ? now === null : String(each) === String(now)));
  });
}
