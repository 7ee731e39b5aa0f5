/** What stands around a talk: system prompt, sampling, tools and the schema of the answer. */
import type { ChatRequest, Told, Turn } from "./chat";
import { fieldsFor, type TokenAbility } from "./token_probabilities";

export interface TalkSettings {
  system: string;
  temperature: number;
  maxTokens: number;
  /** JSON as it is typed; empty for none. */
  tools: string;
  schema: string;
  /** Whether the probabilities of tokens are asked for. */
  probabilities: boolean;
}

export const USUAL_SETTINGS: TalkSettings = {
  ...{ system: "", temperature: 0.7, maxTokens: 256, tools: "", schema: "" },
  probabilities: false,
};
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

/** Why no probabilities come although somebody wants them; null where they do. */
export function whyNoProbabilities(settings: TalkSettings, ability: TokenAbility): "prob.no_engine" | "prob.no_tools" | null {
  if (!settings.probabilities) return null;
  if (ability.hasProbabilities === false) return "prob.no_engine";
  return toolsIn(settings) ? "prob.no_tools" : null;
}

export interface AskedModel {
  model: string;
  ability: TokenAbility;
}

/** What a model is asked next; what is wrong is left out. */
export function requestOf(asked: AskedModel, settings: TalkSettings, turns: readonly Told[], draft: string): ChatRequest {
  const [tools, schema] = [toolsIn(settings), schemaIn(settings)];
  const system: Turn[] = settings.system ? [{ role: "system", content: settings.system }] : [];
  const said = turns.map(({ role, content }) => ({ role, content }));
  const { model, ability } = asked;
  return {
    model,
    messages: [...system, ...said, { role: "user", content: draft }],
    temperature: settings.temperature,
    max_tokens: settings.maxTokens,
    ...(tools ? { tools } : {}),
    ...(schema ? { response_format: { type: "json_schema", json_schema: { name: SCHEMA_NAME, schema } } } : {}),
    ...(settings.probabilities && !tools ? fieldsFor(ability) : {}),
  };
}
