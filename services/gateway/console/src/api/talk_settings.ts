/** What stands around a talk: system prompt, sampling, tools and the schema of the answer. */
import type { ChatRequest, Told, Turn } from "./chat";
import { fieldsFor, type TokenAbility } from "./token_probabilities";

export interface TalkSettings {
  system: string;
  temperature: number;
  maxTokens: number;
  /** Numbers as they are typed; empty for what the API takes then. */
  topP: string;
  seed: string;
  /** Texts at which an answer ends, one a line. */
  stop: string;
  /** JSON as it is typed; empty for none. */
  tools: string;
  schema: string;
  /** Whether the probabilities of tokens are asked for. */
  probabilities: boolean;
}

export const USUAL_SETTINGS: TalkSettings = {
  ...{ system: "", temperature: 0.7, maxTokens: 256, topP: "", seed: "", stop: "", tools: "", schema: "" },
  probabilities: false,
};
/** Fields that hold JSON. */
export const JSON_FIELDS = ["tools", "schema"] as const;
export type JsonField = (typeof JSON_FIELDS)[number];
export const SAMPLING_FIELDS = ["topP", "seed", "stop"] as const;
export type SamplingField = (typeof SAMPLING_FIELDS)[number];
export const MOST_STOPS = 4;

const SCHEMA_NAME = "answer";

/** Fields whose text is not what it has to be. */
export function wrongIn(settings: TalkSettings): (JsonField | SamplingField)[] {
  const isRead = {
    ...{ tools: toolsIn(settings) !== undefined, schema: schemaIn(settings) !== undefined },
    ...{ topP: topPIn(settings) !== undefined, seed: seedIn(settings) !== undefined },
    stop: stopsIn(settings).length <= MOST_STOPS,
  };
  return [...JSON_FIELDS, ...SAMPLING_FIELDS].filter((name) => settings[name].trim() && !isRead[name]);
}

function topPIn({ topP }: TalkSettings): number | undefined {
  const value = Number(topP);
  return topP.trim() && value >= 0 && value <= 1 ? value : undefined;
}

function seedIn({ seed }: TalkSettings): number | undefined {
  const value = Number(seed);
  return seed.trim() && Number.isSafeInteger(value) ? value : undefined;
}

/** A line break is written as in a program: a text is a line here. */
function stopsIn({ stop }: TalkSettings): string[] {
  return stop
    .split("\n")
    .filter(Boolean)
    .map((text) => text.replaceAll("\\n", "\n"));
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
  const [top_p, seed, stop] = [topPIn(settings), seedIn(settings), stopsIn(settings)];
  return {
    model,
    messages: [...system, ...said, { role: "user", content: draft }],
    temperature: settings.temperature,
    max_tokens: settings.maxTokens,
    ...(top_p === undefined ? {} : { top_p }),
    ...(seed === undefined ? {} : { seed }),
    ...(stop.length > 0 && stop.length <= MOST_STOPS ? { stop } : {}),
    ...(tools ? { tools } : {}),
    ...(schema ? { response_format: { type: "json_schema", json_schema: { name: SCHEMA_NAME, schema } } } : {}),
    ...(settings.probabilities && !tools ? fieldsFor(ability) : {}),
  };
}
