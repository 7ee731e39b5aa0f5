/** Requests as somebody would write them elsewhere; the credential is a variable of the environment. */
import type { Json, JsonObject } from "./body_values";
import type { ChatRequest } from "./chat";
import { TRAININGS } from "./trainings";

const INDENT = 4;

export function asCurl(body: JsonObject): string {
  return curlOf(TRAININGS, body);
}

/** @param command with options that come before the address. */
export function curlOf(path: string, body: object, command = "curl"): string {
  const sent = JSON.stringify(body, null, 2).replaceAll("'", "'\\''");
  return [
    `${command} '${gateway()}${path}' \\`,
    `  -H "Authorization: Bearer $MODELMILL_TOKEN" \\`,
    `  -H 'Content-Type: application/json' \\`,
    `  -d '${sent}'`,
  ].join("\n");
}

/** With the client that the gateway has for programs; it reads MODELMILL_TOKEN. */
export function asPython(body: JsonObject, call = "fine_tuning.jobs.create"): string {
  return called(call, "job", fieldsIn(body), `print(job["id"])`);
}

/** A call of a form, with all that is answered; a secret is among it where the form makes one. */
export function callOf({ call, first, body }: FormRequest): string {
  const name = first === undefined ? [] : [`        ${JSON.stringify(first)},`];
  return called(call, "made", [...name, ...fieldsIn(body)], "print(made)");
}

/** What a form asks. */
export interface FormRequest {
  method: "POST" | "PUT" | "PATCH";
  path: string;
  body: JsonObject;
  /** Of the client that the gateway has for programs. */
  call: string;
  /** What the call is of, where the path names it. */
  first?: string;
}

function fieldsIn(body: JsonObject): string[] {
  return Object.entries(body).map(([name, value]) => `        ${name}=${python(value, 2 * INDENT)},`);
}

function called(call: string, name: string, given: string[], then: string): string {
  return [
    "from modelmill_client import Modelmill",
    "",
    `with Modelmill(${JSON.stringify(gateway())}) as client:  # token: MODELMILL_TOKEN`,
    `    ${name} = client.${call}(`,
    ...given,
    "    )",
    `    ${then}`,
  ].join("\n");
}

/** With OpenAI's own client, which many have: the whole answer at once, as the same question gives it streamed. */
export function asChatPython(request: ChatRequest): string {
  const fields = Object.entries(request).map(([name, value]) => `    ${name}=${python(value as Json, INDENT)},`);
  return [
    "import os",
    "",
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url=${JSON.stringify(`${gateway()}/v1`)}, api_key=os.environ["MODELMILL_TOKEN"])`,
    "answer = client.chat.completions.create(",
    ...fields,
    ")",
    "message = answer.choices[0].message",
    "print(message.content or message.tool_calls)",
  ].join("\n");
}

function gateway(): string {
  return new URL("..", location.href.split("#")[0]).href.replace(/\/$/, "");
}

function python(value: Json, indent: number): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  const space = " ".repeat(indent);
  if (Array.isArray(value)) return listed(value, space);
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = Object.entries(value).map(([name, each]) => `${space}    ${JSON.stringify(name)}: ${python(each, indent + INDENT)},`);
  return inner.length ? ["{", ...inner, `${space}}`].join("\n") : "{}";
}

/** A line for each object; what is short stays on one. */
function listed(values: readonly Json[], space: string): string {
  if (!values.some((each) => each !== null && typeof each === "object")) return `[${values.map((each) => python(each, 0)).join(", ")}]`;
  const lines = values.map((each) => `${space}    ${python(each, space.length + INDENT)},`);
  return ["[", ...lines, `${space}]`].join("\n");
}

const PLAIN_NAME = /^[A-Za-z_][A-Za-z0-9_.-]*$/;
const NO_NAME = /^(true|false|null)$/i;
/** Characters that JSON takes as they are and YAML does not. */
const UNPRINTABLE = /[\u007f-\u009f\ufeff\ufffe\uffff]/g;

/** YAML 1.2; texts are quoted, so that none is taken for something else. */
export function asYaml(value: JsonObject, indent = ""): string {
  const lines = Object.entries(value).map(([name, each]) => {
    const key = PLAIN_NAME.test(name) && !NO_NAME.test(name) ? name : yamlText(name);
    const isNested = each !== null && typeof each === "object" && !Array.isArray(each) && Object.keys(each).length > 0;
    if (!isNested) return `${indent}${key}: ${yamlText(each)}`;
    return `${indent}${key}:\n${asYaml(each as JsonObject, `${indent}  `)}`;
  });
  return lines.join("\n");
}

function yamlText(value: Json): string {
  const escaped = (one: string) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(value).replaceAll(UNPRINTABLE, escaped);
}
