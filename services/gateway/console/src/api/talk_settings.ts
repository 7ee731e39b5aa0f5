/** What stands around a talk: system prompt, sampling, tools and the schema of the answer. */
import type { ChatRequest, Told, Turn } from "./chat";

export interface TalkSettings {
  system: string;
  temperature: number;
  maxTokens: number;
  /** JSON as it is typed; empty for none. */
  tools: string;
  schema: string;
}

export const USUAL_SETTINGS: TalkSettings = { system: "", temperature: 0.7, maxTokens: 256, tools: "", schema: "" };
/** Fields that hold JSON. */
export const JSON_FIELDS = ["tools", "schema"] as const;
export type JsonField = (typeof JSON_FIELDS)[number];

const SCHEMA_NAME = "answer";

/** Fields whose text is not what it has to be. */
export function wrongIn(settings: TalkSettings): JsonField[] {
  const isRead = { tools: toolsIn(settings) !== undefined, schema: schemaIn(settings) !== undefined };
  return JSON_FIELDS.filter((name) => settings[name].trim() && !isRead[name]);
}

function toolsIn({ tools }: TalkSettings): unknown[] | undefined {
  const found = read(tools);
  return Array.isArray(found) ? found : undefined;
}

function schemaIn({ schema }: TalkSettings): object | undefined {
  const found = read(schema);
  return typeof found === "object" && found !== null && !Array.isArray(found) ? found : undefined;
}

function read(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What a model is asked next; what is wrong is left out. */
export function requestOf(model: string, settings: TalkSettings, turns: readonly Told[], draft: string): ChatRequest {
  const [tools, schema] = [toolsIn(settings), schemaIn(settings)];
  const system: Turn[] = settings.system ? [{ role: "system", content: settings.system }] : [];
  const said = turns.map(({ role, content }) => ({ role, content }));
  return {
    model,
    messages: [...system, ...said, { role: "user", content: draft }],
    temperature: settings.temperature,
    max_tokens: settings.maxTokens,
    ...(tools ? { tools } : {}),
    ...(schema ? { response_format: { type: "json_schema", json_schema: { name: SCHEMA_NAME, schema } } } : {}),
  };
}
